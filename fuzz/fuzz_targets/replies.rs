//! Any text as a judge's reply: never a panic, and no failed run without evidence.
#![no_main]

use insight::Effects;
use insight::fence::{Fence, Nonce};
use insight::judging::{Evidence, Judged, Offered, Reply, Scale, read_answer};
use insight::render::Renderer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (view, effects) = (fuzz::trace(), Effects::default());
    let renderer = Renderer::new(&view, &effects);
    let fence = Fence::new(Nonce::new("c0ffee").expect("it is a nonce"));
    let evidence = Evidence::new(&renderer, &fence);
    let labels = vec!["good".to_owned(), "bad".to_owned()];
    let scale = Scale::of_range(1.0, 5.0).expect("it is a scale");
    let offers = [
        Offered::Verdict,
        Offered::of_scale(scale, Some(3.0)),
        Offered::Label { passing: labels[..1].to_vec(), labels },
    ];
    for offered in &offers {
        if let Judged::Verdict(answer) = read_answer(Reply::Text(text), offered, &evidence) {
            let fails = offered.passes(&answer.choice) == Some(false);
            assert!(!fails || !answer.citations.is_empty());
        }
    }
});
