//! Thoughts that a model writes in its answer, between `<think>` and `</think>` and the marks of other models: some servers do
//! not tell them apart.
//!
//! Only at the beginning of an answer: an answer that speaks of a mark keeps it. Where a model's template opens the thought, the
//! answer begins inside of it, which nothing in the text says: a setting does. A thought that does not end is one to the
//! end. A mark may come in any number of pieces; of it nothing is told before it is whole, or another word.

use super::provider::ModelEvent;

/// What thoughts stand between.
const THOUGHTS: [Marks; 11] = [
    Marks::new("<think>", "</think>"),
    Marks::new("<thinking>", "</thinking>"),
    Marks::new("<thought>", "</thought>"),
    Marks::new("<reasoning>", "</reasoning>"),
    // Mistral's Magistral, ByteDance's Seed, Moonshot's Kimi, Open Thoughts.
    Marks::new("[THINK]", "[/THINK]"),
    Marks::new("<seed:think>", "</seed:think>"),
    Marks::new("◁think▷", "◁/think▷"),
    Marks::new("<|begin_of_thought|>", "<|end_of_thought|>"),
    // Channels: OpenAI's gpt-oss, Google's Gemma.
    Marks::new("<|channel|>analysis<|message|>", "<|end|>"),
    Marks::new("<|start|>assistant<|channel|>analysis<|message|>", "<|end|>"),
    Marks::new("<|channel>thought\n", "<channel|>"),
];

/// What stands before an answer and is none of it.
const BEFORE_ANSWER: [&str; 2] = ["<|channel|>final<|message|>", "<|start|>assistant<|channel|>final<|message|>"];

/// The most space before a mark.
const MAX_SPACE_BYTES: usize = 4096;

/// The marks around a thought.
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

/// Tells thoughts and answer apart.
#[derive(Debug, Default)]
pub(super) struct Thoughts {
    state: State,
    /// Whether an answer without a mark begins inside a thought.
    starts_inside: bool,
    /// What may be a mark, and the space around it.
    held: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing came but space, and perhaps a piece of a mark.
    #[default]
    Beginning,
    /// In a thought; `said`: something of it was told.
    Thought {
        close: &'static str,
        said: bool,
    },
    /// After a thought, before the answer's first word.
    Gap,
    Answer,
}

impl Thoughts {
    /// `starts_inside`: whether answers begin inside a thought that ends with `</think>`.
    pub(super) fn new(starts_inside: bool) -> Self {
        Self { starts_inside, ..Self::default() }
    }

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
            State::Beginning | State::Gap => self.begin(),
            State::Thought { close, said } => self.think(close, said, events),
            State::Answer => {
                if !self.held.is_empty() {
                    events.push(ModelEvent::Text(std::mem::take(&mut self.held)));
                }
                false
            }
        }
    }

    /// Looks for a mark at the beginning, or right after a thought. What space stands before the answer is part of it where
    /// no thought came.
    fn begin(&mut self) -> bool {
        let text = self.held.trim_start();
        if text.is_empty() && self.state == State::Gap {
            self.held.clear();
            return false;
        }
        if let Some(Marks { open, close }) = THOUGHTS.iter().find(|marks| text.starts_with(marks.open)) {
            self.held = text[open.len()..].to_owned();
            self.state = State::Thought { close, said: false };
            return true;
        }
        if let Some(mark) = BEFORE_ANSWER.iter().find(|mark| text.starts_with(**mark)) {
            self.held = text[mark.len()..].to_owned();
            self.state = State::Answer;
            return true;
        }
        let is_short = self.held.len() <= MAX_SPACE_BYTES;
        let mut marks = THOUGHTS.iter().map(|marks| &marks.open).chain(&BEFORE_ANSWER);
        if is_short && marks.any(|mark| mark.starts_with(text)) {
            return false;
        }
        if self.state == State::Gap {
            self.held = text.to_owned();
        }
        self.state = match self.state {
            State::Beginning if self.starts_inside => State::Thought { close: "</think>", said: false },
            _ => State::Answer,
        };
        true
    }

    fn think(&mut self, close: &'static str, said: bool, events: &mut Vec<ModelEvent>) -> bool {
        let (thought, rest) = match self.held.find(close) {
            Some(end) => (&self.held[..end], Some(&self.held[end + close.len()..])),
            None => (&self.held[..self.held.len() - begun(&self.held, close)], None),
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
                let kept = self.held.len() - begun(&self.held, close);
                self.state = State::Thought { close, said: said || is_told };
                self.held.drain(..kept);
                false
            }
        }
    }
}

/// How many bytes of a mark a text ends with.
fn begun(text: &str, mark: &str) -> usize {
    let ends = |length: &usize| mark.get(..*length).is_some_and(|mark| text.ends_with(mark));
    (1..mark.len()).rev().find(ends).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The thoughts and the answer, each in one piece.
    fn told(pieces: &[&str]) -> (String, String) {
        sorted(Thoughts::default(), pieces)
    }

    fn sorted(mut thoughts: Thoughts, pieces: &[&str]) -> (String, String) {
        let mut told = (String::new(), String::new());
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
        for Marks { open, close } in THOUGHTS {
            let text = format!("\n{open}\nLet é <b> </thin\nsee.\n{close}\n\nIt is **é**: {close}.");
            let right = ("Let é <b> </thin\nsee.\n".to_owned(), format!("It is **é**: {close}."));
            for (one, _) in text.char_indices() {
                for two in (one..text.len()).filter(|two| text.is_char_boundary(*two)) {
                    assert_eq!(
                        told(&[&text[..one], &text[one..two], &text[two..]]),
                        right,
                        "{open} at {one} and {two}"
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
    fn several_thoughts_and_channels_are_told_apart() {
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
            for told in [told(&[text]), told(&each)] {
                assert_eq!((told.0.as_str(), told.1.as_str()), (thoughts, answer));
            }
        }
    }

    #[test]
    fn a_thought_without_an_end_is_no_answer() {
        assert_eq!(told(&["<think>a", "b</thi"]), ("ab</thi".into(), String::new()));
        assert_eq!(told(&["<think>", "\n</think>", "\n\n", "fine"]), (String::new(), "fine".into()));
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
            for told in [sorted(Thoughts::new(true), &[text]), sorted(Thoughts::new(true), &each)] {
                assert_eq!((told.0.as_str(), told.1.as_str()), (thoughts, answer));
            }
        }
    }
}
