//! Separates the thoughts that a model writes into its answer, between `<think>` and `</think>` or the marks of other models. Some
//! servers do not separate them.
//!
//! Only marks at the beginning of an answer count, so that an answer about a mark keeps it. Where a model's chat template opens the
//! thought, the answer begins inside of it; only a setting says so. A thought without an end lasts to the end. A mark may come in
//! pieces: its text is held until it is clear whether it is a mark.

use super::provider::ModelEvent;

/// The marks around thoughts.
const THOUGHT_MARKS: [Marks; 11] = [
    Marks::new("<think>", "</think>"),
    Marks::new("<thinking>", "</thinking>"),
    Marks::new("<thought>", "</thought>"),
    Marks::new("<reasoning>", "</reasoning>"),
    // Mistral's Magistral, ByteDance's Seed, Moonshot's Kimi, Open Thoughts.
    Marks::new("[THINK]", "[/THINK]"),
    Marks::new("<seed:think>", "</seed:think>"),
    Marks::new("◁think▷", "◁/think▷"),
    Marks::new("<|begin_of_thought|>", "<|end_of_thought|>"),
    // The channels of OpenAI's gpt-oss and Google's Gemma.
    Marks::new("<|channel|>analysis<|message|>", "<|end|>"),
    Marks::new("<|start|>assistant<|channel|>analysis<|message|>", "<|end|>"),
    Marks::new("<|channel>thought\n", "<channel|>"),
];

/// Marks before an answer.
const ANSWER_MARKS: [&str; 2] = ["<|channel|>final<|message|>", "<|start|>assistant<|channel|>final<|message|>"];

/// The most bytes of white space before a mark.
const MAX_SPACE_BYTES: usize = 4096;

/// The marks that begin and end a thought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Marks {
    open: &'static str,
    close: &'static str,
}

impl Marks {
    const fn new(open: &'static str, close: &'static str) -> Self {
        Self { open, close }
    }
}

/// Separates thoughts from the answer.
#[derive(Debug, Default)]
pub(super) struct Thoughts {
    state: State,
    /// Whether an answer that does not begin with a mark begins inside a thought.
    starts_inside: bool,
    /// Text that may be a mark, and the white space around it.
    held: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Only white space arrived, and possibly a piece of a mark.
    #[default]
    Beginning,
    /// In a thought; `has_text`: some of its text was handed on.
    Thought {
        close: &'static str,
        has_text: bool,
    },
    /// After a thought, before the answer.
    Gap,
    Answer,
}

impl Thoughts {
    /// `starts_inside`: whether answers begin inside a thought that ends with `</think>`.
    pub(super) fn new(starts_inside: bool) -> Self {
        Self { starts_inside, ..Self::default() }
    }

    /// Reads more of the model's text.
    pub(super) fn read(&mut self, text: &str) -> Vec<ModelEvent> {
        let mut events = Vec::new();
        self.held.push_str(text);
        while self.step(&mut events) {}
        events
    }

    /// Hands on what is held, at the end of the text or before an event of another kind.
    pub(super) fn flush(&mut self) -> Option<ModelEvent> {
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

    /// Takes what it can from the held text. Returns whether there may be more to take.
    fn step(&mut self, events: &mut Vec<ModelEvent>) -> bool {
        match self.state {
            State::Beginning | State::Gap => self.begin(),
            State::Thought { close, has_text } => self.think(close, has_text, events),
            State::Answer => {
                if !self.held.is_empty() {
                    events.push(ModelEvent::Text(std::mem::take(&mut self.held)));
                }
                false
            }
        }
    }

    /// Looks for a mark at the beginning or right after a thought. White space before the answer is part of it only if no thought
    /// came before.
    fn begin(&mut self) -> bool {
        let text = self.held.trim_start();
        if text.is_empty() && self.state == State::Gap {
            self.held.clear();
            return false;
        }
        if let Some(Marks { open, close }) = THOUGHT_MARKS.iter().find(|marks| text.starts_with(marks.open)) {
            self.held = text[open.len()..].to_owned();
            self.state = State::Thought { close, has_text: false };
            return true;
        }
        if let Some(mark) = ANSWER_MARKS.iter().find(|mark| text.starts_with(**mark)) {
            self.held = text[mark.len()..].to_owned();
            self.state = State::Answer;
            return true;
        }
        let is_short = self.held.len() <= MAX_SPACE_BYTES;
        let mut marks = THOUGHT_MARKS.iter().map(|marks| &marks.open).chain(&ANSWER_MARKS);
        if is_short && marks.any(|mark| mark.starts_with(text)) {
            return false;
        }
        if self.state == State::Gap {
            self.held = text.to_owned();
        }
        self.state = match self.state {
            State::Beginning if self.starts_inside => State::Thought { close: "</think>", has_text: false },
            _ => State::Answer,
        };
        true
    }

    fn think(&mut self, close: &'static str, has_text: bool, events: &mut Vec<ModelEvent>) -> bool {
        let (thought, rest) = match self.held.find(close) {
            Some(end) => (&self.held[..end], Some(&self.held[end + close.len()..])),
            None => (&self.held[..self.held.len() - partial_mark(&self.held, close)], None),
        };
        let thought = if has_text { thought } else { thought.trim_start() };
        let has_more = !thought.is_empty();
        if has_more {
            events.push(ModelEvent::Reasoning(thought.to_owned()));
        }
        match rest {
            Some(rest) => {
                (self.state, self.held) = (State::Gap, rest.to_owned());
                true
            }
            None => {
                let handed_on = self.held.len() - partial_mark(&self.held, close);
                self.state = State::Thought { close, has_text: has_text || has_more };
                self.held.drain(..handed_on);
                false
            }
        }
    }
}

/// How many bytes at the end of a text may begin a mark.
fn partial_mark(text: &str, mark: &str) -> usize {
    let ends = |length: &usize| mark.get(..*length).is_some_and(|mark| text.ends_with(mark));
    (1..mark.len()).rev().find(ends).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The thoughts and the answer, each joined.
    fn separate(pieces: &[&str]) -> (String, String) {
        separate_with(Thoughts::default(), pieces)
    }

    fn separate_with(mut thoughts: Thoughts, pieces: &[&str]) -> (String, String) {
        let mut joined = (String::new(), String::new());
        let mut events: Vec<_> = pieces.iter().flat_map(|piece| thoughts.read(piece)).collect();
        events.extend(thoughts.flush());
        for event in events {
            match event {
                ModelEvent::Reasoning(text) => joined.0.push_str(&text),
                ModelEvent::Text(text) => joined.1.push_str(&text),
                other => panic!("{other:?}"),
            }
        }
        joined
    }

    #[test]
    fn a_thought_at_the_beginning_is_separated_wherever_it_is_cut() {
        for Marks { open, close } in THOUGHT_MARKS {
            let text = format!("\n{open}\nLet é <b> </thin\nsee.\n{close}\n\nIt is **é**: {close}.");
            let right = ("Let é <b> </thin\nsee.\n".to_owned(), format!("It is **é**: {close}."));
            for (one, _) in text.char_indices() {
                for two in (one..text.len()).filter(|two| text.is_char_boundary(*two)) {
                    assert_eq!(
                        separate(&[&text[..one], &text[one..two], &text[two..]]),
                        right,
                        "{open} at {one} and {two}"
                    );
                }
            }
            let each: Vec<String> = text.chars().map(String::from).collect();
            assert_eq!(separate(&each.iter().map(String::as_str).collect::<Vec<_>>()), right);
        }
    }

    #[test]
    fn answers_without_a_mark_at_the_beginning_stay_as_they_are() {
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
            for (thoughts, answer) in [separate(&[text]), separate(&each)] {
                assert_eq!((thoughts.as_str(), answer.as_str()), ("", text));
            }
        }
    }

    #[test]
    fn several_thoughts_and_channels_are_separated() {
        for (text, thoughts, answer) in [
            ("<think>one</think>\n<think>two</think>\nIt is.", "onetwo", "It is."),
            (
                "<|channel|>analysis<|message|>one<|end|><|start|>assistant<|channel|>analysis<|message|>two<|end|>\
                 <|start|>assistant<|channel|>final<|message|>It is.",
                "onetwo",
                "It is.",
            ),
            ("<|channel|>final<|message|>It is.", "", "It is."),
            ("<think>one</think>\n<b>is</b>", "one", "<b>is</b>"),
            ("<think>one</think><thin", "one", "<thin"),
        ] {
            let each: Vec<String> = text.chars().map(String::from).collect();
            let each: Vec<&str> = each.iter().map(String::as_str).collect();
            for found in [separate(&[text]), separate(&each)] {
                assert_eq!((found.0.as_str(), found.1.as_str()), (thoughts, answer));
            }
        }
    }

    #[test]
    fn a_thought_without_an_end_lasts_to_the_end() {
        assert_eq!(separate(&["<think>a", "b</thi"]), ("ab</thi".into(), String::new()));
        assert_eq!(separate(&["<think>", "\n</think>", "\n\n", "fine"]), (String::new(), "fine".into()));
    }

    #[test]
    fn an_answer_that_begins_inside_a_thought_needs_no_mark_before_it() {
        for (text, thoughts, answer) in [
            ("one\n</think>\n\nIt is.", "one\n", "It is."),
            ("<think>\none</think>It is.", "one", "It is."),
            ("</think>\nIt is.", "", "It is."),
            ("one without an end", "one without an end", ""),
        ] {
            let each: Vec<String> = text.chars().map(String::from).collect();
            let each: Vec<&str> = each.iter().map(String::as_str).collect();
            for found in [separate_with(Thoughts::new(true), &[text]), separate_with(Thoughts::new(true), &each)] {
                assert_eq!((found.0.as_str(), found.1.as_str()), (thoughts, answer));
            }
        }
    }
}
