//! What is left of a trace without its content or its sound.

use super::*;

#[test]
fn without_content_the_structure_is_left() {
    let off = Switches {
        include_sensitive_data: false,
        ..Switches::default()
    };
    for (name, (decode, body)) in captured() {
        let before = decode(&body);
        let mut batch = before.clone();
        process(&rules(&ProcessSettings::default()), &off, &mut batch);
        check_whole(&name, &batch);
        let of_names = |batch: &Batch| batch.messages.iter().filter(|m| m.role != "other").count();
        assert_eq!(of_names(&batch), 0, "{name}: {:?}", batch.messages);
        let left = stored(&batch);
        for (new, old) in batch.spans.iter().zip(&before.spans) {
            let kept = Span {
                input_preview: old.input_preview.clone(),
                output_preview: old.output_preview.clone(),
                payload: old.payload.clone(),
                error: old.error.clone(),
                ..new.clone()
            };
            assert_eq!(kept, *old, "{name}");
            assert_eq!((&new.input_preview, &new.output_preview), (&None, &None));
            let kind = |span: &Span| span.error.as_ref().map(|error| error.kind.clone());
            assert_eq!(kind(new), kind(old));
            for said in [&old.input_preview, &old.output_preview]
                .into_iter()
                .flatten()
            {
                let said = said.lines().next().unwrap_or_default();
                let is_name = before.spans.iter().any(|span| span.name.contains(said))
                    || before
                        .traces
                        .iter()
                        .any(|item| format!("{item:?}").contains(said));
                assert!(
                    said.len() < 24 || is_name || !left.contains(said),
                    "{name}: {said:?} is in {left}"
                );
            }
        }
        let again = process(&rules(&ProcessSettings::default()), &off, &mut batch);
        assert_eq!(again, Report::default(), "{name}");
    }
}

#[test]
fn audio_goes_and_its_length_is_told() {
    let off = Switches {
        include_audio: false,
        ..Switches::default()
    };
    let base64 = "UklGRiQA".repeat(20);
    let part = json!({"type": "input_audio", "input_audio": {"data": base64, "format": "wav"}});
    let body = json!({"data": [
        {"object": "trace.span", "id": "a", "trace_id": "t", "span_data": {"type": "transcription",
            "input": {"data": base64, "format": "pcm"}, "output": "hello there", "model": "m"}},
        {"object": "trace.span", "id": "b", "trace_id": "t", "span_data": {"type": "speech",
            "input": "hello", "output": {"data": "UklGRg==", "format": "pcm"}}},
        {"object": "trace.span", "id": "c", "trace_id": "t", "span_data": {"type": "generation",
            "input": [{"role": "user", "content": [part, {"type": "text", "text": format!("see data:audio/wav;base64,{base64} end")}]}],
            "output": [{"role": "assistant", "content": "words", "audio": {"id": "x", "data": base64, "transcript": "what was said"}}]}},
    ]});
    let mut batch = agents(&body);
    let report = process(&rules(&ProcessSettings::default()), &off, &mut batch);
    check_whole("audio", &batch);
    let left = stored(&batch);
    assert!(!left.contains("UklGR"), "{left}");
    assert_eq!(report.redacted, BTreeMap::from([("audio".to_owned(), 5)]));
    let data = |at: usize| restored(&batch, &batch.spans[at]).unwrap();
    assert!(data(0).contains("[redacted:audio 120 bytes]") && data(0).contains("hello there"));
    assert!(data(1).contains("[redacted:audio 4 bytes]"), "{}", data(1));
    assert!(
        data(2).contains("see [redacted:audio 120 bytes] end") && data(2).contains("what was said")
    );
    let again = process(&rules(&ProcessSettings::default()), &off, &mut batch);
    assert_eq!(again, Report::default());
}
