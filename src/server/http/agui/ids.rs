//! Ids of callers, whose threads and messages may be called anything.
//!
//! A UUIDv7 is Netra's own id and stays what it is. From every other text an id is derived, always the same one: a digest of
//! the text and of whose it is (a thread's: the person; a message's: the thread), in the shape of a UUIDv7 with the time 0. The
//! TypeScript client derives the same.

use std::str::FromStr;

use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::protocol::IdError;

/// The length of an id as text, which tells it from the other ways to write a UUID.
const TEXT: usize = 36;

/// The id that a text stands for within a namespace.
pub(super) fn id_for<Id: FromStr<Err = IdError>>(namespace: impl ToString, text: &str) -> Id {
    if let Some(id) = Some(text).filter(|text| text.len() == TEXT).and_then(|text| text.parse().ok()) {
        return id;
    }
    let derived = derived(&namespace.to_string(), text).to_string();
    derived.parse().unwrap_or_else(|_| unreachable!("it has version 7"))
}

fn derived(namespace: &str, text: &str) -> Uuid {
    let digest = Sha256::digest(format!("{namespace}/{text}"));
    let mut random = [0; 10];
    random.copy_from_slice(&digest[6..16]);
    Builder::from_unix_timestamp_millis(0, &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{ThreadId, UserId};

    #[test]
    fn an_own_id_stays_and_any_other_text_stands_for_one() {
        let person: UserId = "019a2b3c-4d5e-7f60-8192-a3b4c5d6e7f8".parse().expect("an id");
        let own = ThreadId::new();
        assert_eq!(id_for::<ThreadId>(person, &own.to_string()), own);
        let derived: ThreadId = id_for(person, "my thread");
        assert_eq!(derived.to_string(), "00000000-0000-761f-b764-803dc9f70071", "as the TypeScript client has it");
        assert_ne!(id_for::<ThreadId>(person, "my other thread"), derived);
        assert_ne!(id_for::<ThreadId>(UserId::new(), "my thread"), derived, "another person's is another thread");
        let unusual = format!("urn:uuid:{own}");
        assert_ne!(id_for::<ThreadId>(person, &unusual), own);
    }
}
