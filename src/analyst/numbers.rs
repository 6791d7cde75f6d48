//! Detects and masks numbers in text, as digits or as English words.
//!
//! Guarantees: a doubtful word counts as a number.

/// Prefixes of number words: `nin` of `nine`, `ninety`, `ninth`, `ninefold`.
const PREFIXES: [&str; 37] = [
    "zero", "naught", "nought", "two", "twice", "three", "thrice", "third", "thirt", "four", "forty", "fortie", "five",
    "fift", "six", "seven", "eight", "nin", "eleven", "twel", "twent", "dozen", "hundred", "thousand", "lakh", "crore",
    "half", "halv", "quart", "doubl", "tripl", "trebl", "quadr", "quint", "couple", "percent", "permil",
];
/// Whole number words whose prefix other words share: `ten` and `tend`.
const WORDS: [&str; 11] = ["one", "ones", "nil", "ten", "tens", "tenth", "tenths", "cent", "cents", "pair", "pairs"];
/// Suffixes of number words.
const SUFFIXES: [&str; 5] = ["fold", "teen", "teens", "illion", "illions"];

/// Replaces each run of digits with `#`.
pub fn mask_digits(text: &str) -> String {
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

/// Whether a text contains a number: a digit, a number word (also hyphenated), a fraction or a multiple.
pub fn contains_number(text: &str) -> bool {
    let text = text.to_lowercase();
    let pieces = text.split(|c: char| !c.is_alphabetic()).map(str::to_owned);
    let joined = text.split_whitespace().map(|word| word.chars().filter(|c| c.is_alphabetic()).collect());
    text.contains(char::is_numeric) || pieces.chain(joined).any(|word: String| is_number_word(&word))
}

fn is_number_word(word: &str) -> bool {
    WORDS.contains(&word)
        || PREFIXES.iter().any(|prefix| word.starts_with(prefix))
        || SUFFIXES.iter().any(|suffix| word.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_word_is_detected() {
        let units = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen \
                     seventeen eighteen nineteen";
        let tens =
            "twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion trillion dozen";
        let parts = "half halves third thirds quarter quarters fourth fifth sixth seventh eighth ninth tenth twelfth \
                     twentieth fortieth ninetieth hundredth percent cents";
        let times =
            "double doubled doubling triple treble quadruple quintuple twice thrice twofold tenfold hundredfold pair";
        for word in [units, tens, parts, times].iter().flat_map(|words| words.split_whitespace()) {
            assert!(contains_number(&format!("it saves {word} of it")), "{word}");
            assert!(contains_number(&word.to_uppercase()), "{word}");
        }
        for text in ["twenty-five", "ni-nety", "Ninetyish", "one in many", "per cent", "5", "½", "x²", "Ⅻ"] {
            assert!(contains_number(text), "{text}");
        }
    }

    #[test]
    fn other_words_are_not_numbers() {
        for text in
            ["Attend to what tends to be tentative.", "The weight of the first, for the moment, before lunch.", ""]
        {
            assert!(!contains_number(text), "{text}");
        }
    }

    #[test]
    fn runs_of_digits_are_masked() {
        assert_eq!(mask_digits("1,234 requests, $12.34 (gpt-4.1): 12.3 %"), "#,# requests, $#.# (gpt-#.#): #.# %");
    }
}
