//! One `Arc` for each message, however often it was told: agents send their history with every call.

use std::collections::HashMap;
use std::sync::Arc;

use model::{ChatMessage, MessageHash};

/// The messages of one trace that were told so far.
#[derive(Debug, Default)]
pub struct SharedMessages {
    known: HashMap<MessageHash, Arc<ChatMessage>>,
}

impl SharedMessages {
    /// Returns these messages, those that were told before as what they were then.
    pub fn share(&mut self, messages: Vec<ChatMessage>) -> Vec<Arc<ChatMessage>> {
        let shared = messages.into_iter().map(|message| {
            let text = serde_json::to_vec(&message).expect("a message is made of texts and JSON");
            let known = self.known.entry(MessageHash::of(&text));
            Arc::clone(known.or_insert_with(|| Arc::new(message)))
        });
        shared.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_the_same_wherever_it_is_told() {
        let mut shared = SharedMessages::default();
        let said = |words: &str| ChatMessage::of_text("user", words);
        let first = shared.share(vec![said("hi"), said("ho")]);
        let again = shared.share(vec![said("hi"), said("hey"), said("hi")]);
        assert!(Arc::ptr_eq(&first[0], &again[0]) && Arc::ptr_eq(&again[0], &again[2]));
        assert_eq!(*again[1], said("hey"));
    }
}
