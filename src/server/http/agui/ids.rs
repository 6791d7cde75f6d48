//! Maps the ids of callers, which may be any text, to Netra's.
//!
//! A UUIDv7 is an id of Netra and stays as it is. From any other text the same id is derived each time: a digest of the text and a
//! namespace (the person for a thread, the thread for a message), in the form of a UUIDv7 with the time 0. The TypeScript client
//! derives the same ids.

use std::str::FromStr;

use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::protocol::IdError;

/// The length of a hyphenated UUID; other ways to write one count as any other text.
const UUID_TEXT_LENGTH: usize = 36;

/// The id for a text within a namespace.
pub(super) fn id_for<Id: FromStr<Err = IdError>>(namespace: impl ToString, text: &str) -> Id {
    if let Some(id) = Some(text).filter(|text| text.len() == UUID_TEXT_LENGTH).and_then(|text| text.parse().ok()) {
        return id;
    }
    let derived = derived(&namespace.to_string(), text).to_string();
    derived.parse().unwrap_or_else(|_| unreachable!("a derived id is a UUIDv7"))
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
    fn an_id_of_netra_stays_and_from_any_other_text_one_is_derived() {
        let person: UserId = "019a2b3c-4d5e-7f60-8192-a3b4c5d6e7f8".parse().expect("an id");
        let own = ThreadId::new();
        assert_eq!(id_for::<ThreadId>(person, &own.to_string()), own);
        let derived: ThreadId = id_for(person, "my thread");
        assert_eq!(derived.to_string(), "00000000-0000-761f-b764-803dc9f70071", "as the TypeScript client has it");
        assert_ne!(id_for::<ThreadId>(person, "my other thread"), derived);
        assert_ne!(id_for::<ThreadId>(UserId::new(), "my thread"), derived, "another person gets another thread");
        let unusual = format!("urn:uuid:{own}");
        assert_ne!(id_for::<ThreadId>(person, &unusual), own);
    }
}
