//! What a person says of the columns of a log, and the question that asks for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    columns::{Column, Role},
    values::{DateOrder, Unit},
};

/// How a line of a message begins that names columns: `columns: input=Eingabe, output=Ausgabe`.
pub const COLUMNS_LINE: &str = "columns:";

/// Longest name of a column that can be chosen, in characters.
const MAX_NAME_CHARS: usize = 300;

/// The columns that a person named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ColumnChoice {
    /// Role by its short name (see [`Role::key`]), and the column's name; an empty name: the log has no such column.
    pub columns: BTreeMap<String, String>,
    /// Units of times and latencies, by the role's short name: `ns`, `us`, `ms`, `s`.
    pub units: BTreeMap<String, String>,
    /// The order of day and month.
    pub dates: Option<DateOrder>,
}

/// The units, by the names that people give.
pub(super) const UNITS: [(&str, Unit); 5] =
    [("ns", Unit::Nanos), ("us", Unit::Micros), ("ms", Unit::Millis), ("s", Unit::Seconds), ("min", Unit::Minutes)];

impl ColumnChoice {
    /// Parses `input=Eingabe, output=Ausgabe, latency:ms=Dauer, dates=day_first`: the role, its unit if needed, and the column.
    ///
    /// # Errors
    /// What is wrong with it, and what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains(['\n', '\r']) {
            return Err("the columns are named on one line".into());
        }
        let mut choice = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (role, column) =
                part.split_once('=').ok_or_else(|| format!("{part:?} is not of the form role=column"))?;
            choice.set(role.trim(), column.trim())?;
        }
        choice.check()?;
        Ok(choice)
    }

    /// Separates the lines of a message that name columns ([`COLUMNS_LINE`], then `role=column`) from the rest of its text.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn split_message(text: &str) -> Result<(Self, String), String> {
        let (mut choice, mut rest) = (Self::default(), Vec::new());
        for line in text.lines() {
            let begins = line.trim_start().get(..COLUMNS_LINE.len());
            match begins.filter(|begins| begins.eq_ignore_ascii_case(COLUMNS_LINE) && line.contains('=')) {
                Some(begins) => choice.extend(Self::parse(&line.trim_start()[begins.len()..])?),
                None => rest.push(line),
            }
        }
        choice.check()?;
        Ok((choice, rest.join("\n").trim().to_owned()))
    }

    /// Adds what `other` says; where both say something, `other` counts.
    pub fn extend(&mut self, other: Self) {
        for role in other.columns.keys() {
            self.units.remove(role);
        }
        self.columns.extend(other.columns);
        self.units.extend(other.units);
        self.dates = other.dates.or(self.dates);
    }

    /// Whether each column is named for one role only.
    ///
    /// # Errors
    /// The column that is named for two, and the roles.
    pub fn check(&self) -> Result<(), String> {
        for (first, column) in self.columns.iter().filter(|(_, column)| !column.is_empty()) {
            if let Some((second, _)) = self.columns.iter().find(|(role, other)| *other == column && *role > first) {
                return Err(format!(
                    "{column:?} is named for {first} and for {second}; a column can be only one of them"
                ));
            }
        }
        Ok(())
    }

    /// The columns that are named, with the short names of their roles.
    pub fn named(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = self.columns.iter().filter(|(_, column)| !column.is_empty());
        named.map(|(role, column)| (role.as_str(), column.as_str()))
    }

    /// Forgets what was named for a role.
    pub fn forget(&mut self, role: &str) {
        self.columns.remove(role);
        self.units.remove(role);
    }

    /// Names the column of a role; `role` may have a unit (`latency:ms`), or be `dates`.
    ///
    /// # Errors
    /// If the role or the unit is not known.
    pub fn set(&mut self, role: &str, column: &str) -> Result<(), String> {
        if role == "dates" {
            self.dates = Some(match column {
                "day_first" => DateOrder::DayFirst,
                "month_first" => DateOrder::MonthFirst,
                _ => return Err(format!("dates must be day_first or month_first, not {column:?}")),
            });
            return Ok(());
        }
        let (role, unit) = role.split_once(':').map_or((role, None), |(role, unit)| (role, Some(unit)));
        if Role::from_key(role).is_none() {
            let known: Vec<&str> = Role::ALL.iter().map(|role| role.key()).collect();
            return Err(format!("{role:?} is not a role; the roles are {}, and dates", known.join(", ")));
        }
        if column.chars().count() > MAX_NAME_CHARS {
            return Err(format!("the name of a column has at most {MAX_NAME_CHARS} characters"));
        }
        if let Some(unit) = unit {
            if !UNITS.iter().any(|(name, _)| *name == unit) {
                return Err(format!("{unit:?} is not a unit; the units are ns, us, ms, s and min"));
            }
            self.units.insert(role.to_owned(), unit.to_owned());
        }
        self.columns.insert(role.to_owned(), column.to_owned());
        Ok(())
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a column (or none) is named for this role.
    pub fn names(&self, role: Role) -> bool {
        self.columns.contains_key(role.key())
    }

    /// Whether the log is said to have no such column.
    pub fn denies(&self, role: Role) -> bool {
        self.columns.get(role.key()).is_some_and(String::is_empty)
    }

    /// What the column of this name is said to hold: `Some(Some(..))` for a named column, `None` for one that is not mentioned.
    pub(super) fn column(&self, name: &str) -> Option<Option<Column>> {
        let (key, _) = self.columns.iter().find(|(_, column)| !column.is_empty() && *column == name)?;
        let role = Role::from_key(key)?;
        let unit =
            self.units.get(key).and_then(|unit| UNITS.iter().find(|(name, _)| name == unit)).map(|(_, unit)| *unit);
        Some(Some(Column::named(role, unit)))
    }
}

/// A question about the columns of a log: what is missing or has two meanings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ColumnQuestion {
    /// The file's name.
    pub file: String,
    /// Why it is asked, a sentence for each reason.
    pub reasons: Vec<String>,
    /// The short names of the roles that are asked for; `dates` for the order of day and month.
    pub roles: Vec<String>,
    /// The columns that may be chosen.
    pub columns: Vec<String>,
    /// The first rows, cell by cell under `columns`.
    pub rows: Vec<Vec<String>>,
}

/// Rows of the preview.
pub(super) const PREVIEW_ROWS: usize = 5;

/// Most columns that may be chosen.
pub const MAX_CHOICES: usize = 60;

impl ColumnQuestion {
    /// The question as text: the reasons, what to write after `--columns`, and the preview.
    pub fn text(&self) -> String {
        let example: Vec<String> = self
            .roles
            .iter()
            .map(|role| if role == "dates" { "dates=day_first".to_owned() } else { format!("{role}=COLUMN") })
            .collect();
        format!(
            "{} The columns are {}. Say which is which, for example --columns '{}'; leave the name empty for one that the log does not have.",
            self.reasons.join(" "),
            super::name_list(&self.columns),
            example.join(",")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_on_the_command_line() {
        let choice = ColumnChoice::parse("input=Eingabe, latency:ms=Dauer,output=,dates=day_first").expect("a choice");
        assert_eq!(choice.column("Eingabe"), Some(Some(Column::named(Role::Input, None))));
        assert_eq!(choice.column("Dauer"), Some(Some(Column::named(Role::Latency, Some(Unit::Millis)))));
        assert_eq!((choice.column("x"), choice.denies(Role::Output), choice.names(Role::Output)), (None, true, true));
        assert_eq!(choice.dates, Some(DateOrder::DayFirst));
        for wrong in ["input", "size=x", "latency:h=x", "dates=x", "input=a,output=a", "input=a\n"] {
            assert!(ColumnChoice::parse(wrong).is_err(), "{wrong}");
        }
        assert!(ColumnChoice::parse("input=,output=").is_ok(), "a log may lack both");
    }

    #[test]
    fn lines_of_a_message_name_columns() {
        let text = "Where do my tokens go?\n\nColumns: input=Eingabe, latency:s=Dauer\ncolumns: output=Ausgabe\n";
        let (choice, rest) = ColumnChoice::split_message(text).expect("a choice");
        assert_eq!(rest, "Where do my tokens go?");
        assert_eq!(
            choice.named().collect::<Vec<_>>(),
            [("input", "Eingabe"), ("latency", "Dauer"), ("output", "Ausgabe")]
        );
        for plain in ["columns: which are there?", "Which columns: a=b?", "", "ä=1"] {
            assert_eq!(ColumnChoice::split_message(plain), Ok((ColumnChoice::default(), plain.to_owned())));
        }
        assert!(ColumnChoice::split_message("columns: size=x").is_err());
        assert!(ColumnChoice::split_message("columns: input=a\ncolumns: output=a").is_err());
    }

    #[test]
    fn the_later_of_two_choices_counts() {
        let mut choice = ColumnChoice::parse("latency:ms=Dauer,input=a,dates=day_first").expect("a choice");
        choice.extend(ColumnChoice::parse("latency=Zeit").expect("a choice"));
        assert_eq!(choice, ColumnChoice::parse("latency=Zeit,input=a,dates=day_first").expect("a choice"));
        choice.forget("input");
        assert_eq!(choice.named().collect::<Vec<_>>(), [("latency", "Zeit")]);
    }
}
