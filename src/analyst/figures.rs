//! Figures in a text that somebody else wrote: taking them out, and finding them, in digits or in English words.
//!
//! Promises: what it doubts is a figure.

/// How words begin that are figures, whatever follows: `nine`, `ninety`, `ninth`, `ninefold`.
const STEMS: [&str; 37] = [
    "zero", "naught", "nought", "two", "twice", "three", "thrice", "third", "thirt", "four", "forty", "fortie", "five",
    "fift", "six", "seven", "eight", "nin", "eleven", "twel", "twent", "dozen", "hundred", "thousand", "lakh", "crore",
    "half", "halv", "quart", "doubl", "tripl", "trebl", "quadr", "quint", "couple", "percent", "permil",
];
/// Words that are figures, where others begin alike: `tend`.
const WORDS: [&str; 11] = ["one", "ones", "nil", "ten", "tens", "tenth", "tenths", "cent", "cents", "pair", "pairs"];
/// How others end.
const ENDS: [&str; 5] = ["fold", "teen", "teens", "illion", "illions"];

/// The text with `#` for each row of digits.
pub fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_numeric() {
            true if masked.ends_with('#') => {}
            true => masked.push('#'),
            false => masked.push(c),
        }
    }
    masked
}

/// Whether a text has a figure: a digit, a number word (one with a hyphen in it, too), a fraction, a multiple.
pub fn has_figure(text: &str) -> bool {
    let text = text.to_lowercase();
    let pieces = text.split(|c: char| !c.is_alphabetic()).map(str::to_owned);
    let joined = text.split_whitespace().map(|word| word.chars().filter(|c| c.is_alphabetic()).collect());
    text.contains(char::is_numeric) || pieces.chain(joined).any(|word: String| is_figure(&word))
}

fn is_figure(word: &str) -> bool {
    WORDS.contains(&word)
        || STEMS.iter().any(|stem| word.starts_with(stem))
        || ENDS.iter().any(|end| word.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_word_is_a_figure() {
        let units = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen \
                     seventeen eighteen nineteen";
        let tens =
            "twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion trillion dozen";
        let parts = "half halves third thirds quarter quarters fourth fifth sixth seventh eighth ninth tenth twelfth \
                     twentieth fortieth ninetieth hundredth percent cents";
        let times =
            "double doubled doubling triple treble quadruple quintuple twice thrice twofold tenfold hundredfold pair";
        for word in [units, tens, parts, times].iter().flat_map(|words| words.split_whitespace()) {
            assert!(has_figure(&format!("it saves {word} of it")), "{word}");
            assert!(has_figure(&word.to_uppercase()), "{word}");
        }
        for text in ["twenty-five", "ni-nety", "Ninetyish", "one in many", "per cent", "5", "½", "x²", "Ⅻ"] {
            assert!(has_figure(text), "{text}");
        }
    }

    #[test]
    fn other_words_are_none() {
        for text in
            ["Attend to what tends to be tentative.", "The weight of the first, for the moment, before lunch.", ""]
        {
            assert!(!has_figure(text), "{text}");
        }
    }

    #[test]
    fn figures_are_masked_by_the_row() {
        assert_eq!(masked("1,234 requests, $12.34 (gpt-4.1): 12.3 %"), "#,# requests, $#.# (gpt-#.#): #.# %");
    }
}
