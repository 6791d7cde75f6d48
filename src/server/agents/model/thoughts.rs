//! Thoughts that a model writes in its answer, between `<think>` and `</think>`: some servers do not tell them apart.
//!
//! Only at the beginning of an answer: an answer that speaks of the tag keeps it. A thought that does not end is one to the
//! end. A tag may come in any number of pieces; of it nothing is told before it is whole, or another word.

use super::provider::ModelEvent;

/// The names of the tag.
const NAMES: [&str; 4] = ["think", "thinking", "thought", "reasoning"];

/// The most space before a tag.
const MAX_SPACE_BYTES: usize = 4096;

/// Tells thoughts and answer apart.
#[derive(Debug, Default)]
pub(super) struct Thoughts {
    state: State,
    /// What may be a tag, and the space around it.
    held: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing came but space, and perhaps a piece of a tag.
    #[default]
    Beginning,
    /// In a thought; `said`: something of it was told.
    Thought {
        name: &'static str,
        said: bool,
    },
    /// After a thought, before the answer's first word.
    Gap,
    Answer,
}

impl Thoughts {
    /// More of what the model wrote, as thoughts and answer.
    pub(super) fn read(&mut self, text: &str) -> Vec<ModelEvent> {
        let mut events = Vec::new();
        self.held.push_str(text);
        while self.step(&mut events) {}
        events
    }

    /// What is still held: nothing more comes, or not of the text.
    pub(super) fn rest(&mut self) -> Option<ModelEvent> {
        let held = std::mem::take(&mut self.held);
        if held.trim().is_empty() && self.state != State::Answer {
            return None;
        }
        match self.state {
            State::Thought { .. } => Some(ModelEvent::Reasoning(held)),
            State::Beginning | State::Gap | State::Answer => {
                self.state = State::Answer;
                (!held.is_empty()).then_some(ModelEvent::Text(held))
            }
        }
    }

    /// Takes what it can from what is held. Answers whether there may be more to take.
    fn step(&mut self, events: &mut Vec<ModelEvent>) -> bool {
        match self.state {
            State::Beginning => self.begin(),
            State::Thought { name, said } => self.think(name, said, events),
            State::Gap => {
                let answer = self.held.trim_start();
                let has_begun = !answer.is_empty();
                self.held = answer.to_owned();
                self.state = if has_begun { State::Answer } else { State::Gap };
                has_begun
            }
            State::Answer => {
                if !self.held.is_empty() {
                    events.push(ModelEvent::Text(std::mem::take(&mut self.held)));
                }
                false
            }
        }
    }

    fn begin(&mut self) -> bool {
        let tag = self.held.trim_start();
        let opens = |name: &&str| {
            let rest = tag.strip_prefix('<').and_then(|rest| rest.strip_prefix(*name));
            rest.and_then(|rest| rest.strip_prefix('>')).map(str::to_owned)
        };
        if let Some((name, rest)) = NAMES.iter().find_map(|name| Some((*name, opens(name)?))) {
            (self.state, self.held) = (State::Thought { name, said: false }, rest);
            return true;
        }
        let is_short = self.held.len() <= MAX_SPACE_BYTES;
        if is_short && NAMES.iter().any(|name| format!("<{name}>").starts_with(tag)) {
            return false;
        }
        self.state = State::Answer;
        true
    }

    fn think(&mut self, name: &'static str, said: bool, events: &mut Vec<ModelEvent>) -> bool {
        let close = format!("</{name}>");
        let (thought, rest) = match self.held.find(&close) {
            Some(end) => (&self.held[..end], Some(&self.held[end + close.len()..])),
            None => (&self.held[..self.held.len() - begun(&self.held, &close)], None),
        };
        let thought = if said { thought } else { thought.trim_start() };
        let is_told = !thought.is_empty();
        if is_told {
            events.push(ModelEvent::Reasoning(thought.to_owned()));
        }
        match rest {
            Some(rest) => {
                (self.state, self.held) = (State::Gap, rest.to_owned());
                true
            }
            None => {
                let kept = self.held.len() - begun(&self.held, &close);
                self.state = State::Thought { name, said: said || is_told };
                self.held.drain(..kept);
                false
            }
        }
    }
}

/// How much of a tag a text ends with.
fn begun(text: &str, tag: &str) -> usize {
    (1..tag.len()).rev().find(|length| text.ends_with(&tag[..*length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The thoughts and the answer, each in one piece.
    fn told(pieces: &[&str]) -> (String, String) {
        let (mut thoughts, mut told) = (Thoughts::default(), (String::new(), String::new()));
        let mut events: Vec<_> = pieces.iter().flat_map(|piece| thoughts.read(piece)).collect();
        events.extend(thoughts.rest());
        for event in events {
            match event {
                ModelEvent::Reasoning(text) => told.0.push_str(&text),
                ModelEvent::Text(text) => told.1.push_str(&text),
                other => panic!("{other:?}"),
            }
        }
        told
    }

    #[test]
    fn a_thought_at_the_beginning_is_none_of_the_answer_wherever_it_is_cut() {
        for (name, text) in NAMES
            .iter()
            .map(|name| (name, format!("\n<{name}>\nLet é <b> </thin\nsee.\n</{name}>\n\nIt is **é**: </{name}>.")))
        {
            let right = ("Let é <b> </thin\nsee.\n".to_owned(), format!("It is **é**: </{name}>."));
            for (one, _) in text.char_indices() {
                for two in (one..text.len()).filter(|two| text.is_char_boundary(*two)) {
                    assert_eq!(
                        told(&[&text[..one], &text[one..two], &text[two..]]),
                        right,
                        "{name} at {one} and {two}"
                    );
                }
            }
            let each: Vec<String> = text.chars().map(String::from).collect();
            assert_eq!(told(&each.iter().map(String::as_str).collect::<Vec<_>>()), right);
        }
    }

    #[test]
    fn other_answers_stay_as_they_are() {
        for text in [
            "",
            "<thin",
            "<thinker> goes",
            "It thinks: <think>no</think>",
            "  <b>x</b>",
            "</think> is a tag",
            " \n code",
        ] {
            let each: Vec<String> = text.chars().map(String::from).collect();
            let each: Vec<&str> = each.iter().map(String::as_str).collect();
            for (thoughts, answer) in [told(&[text]), told(&each)] {
                assert_eq!((thoughts.as_str(), answer.as_str()), ("", text));
            }
        }
    }

    #[test]
    fn a_thought_without_an_end_is_no_answer() {
        assert_eq!(told(&["<think>a", "b</thi"]), ("ab</thi".into(), String::new()));
        assert_eq!(told(&["<think>", "\n</think>", "\n\n", "fine"]), (String::new(), "fine".into()));
    }
}
