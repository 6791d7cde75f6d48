//! Whether JSON fits a schema: a tool's arguments, before a person is asked about them and before it is called; a person's
//! answer, before it is taken.
//!
//! Looks as deep as the schema does: types, enumerations, required and unknown names, numbers' and lengths' bounds, items,
//! alternatives, references within the schema. Schemas come from servers, so nothing outside of them is looked up, no regular
//! expression is run, and the work has a bound; what is beyond that is the tool's own to judge.
//!
//! One liberty: `null` stands for a property that may be left out, as models and forms write it.

use serde_json::{Map, Value};

/// Most problems that are told at once.
const MAX_TOLD: usize = 5;
/// The most parts of a value that are held to parts of a schema.
const MAX_STEPS: usize = 100_000;
/// How deep references and alternatives may lead.
const MAX_LEVELS: usize = 96;

/// What is wrong with a tool's `args`, in words that a model can act on; nothing where they fit as far as this looks.
///
/// # Errors
/// One sentence.
pub(crate) fn check(schema: &Value, args: &Value) -> Result<(), String> {
    if !args.is_object() {
        return Err(format!("The arguments must be a JSON object, and are {}.", kind(args)));
    }
    let problems = problems(schema, args, "the arguments");
    if problems.is_empty() {
        Ok(())
    } else {
        Err(format!("The arguments do not fit the tool: {}.", problems.join("; ")))
    }
}

/// What of `value` does not fit `schema`, each in a few words that name the part; the value itself is called `whole`.
#[must_use]
pub(crate) fn problems(schema: &Value, value: &Value, whole: &str) -> Vec<String> {
    let mut check = Check { root: schema, whole, steps: MAX_STEPS, problems: Vec::new() };
    check.value(schema, value, &mut String::new(), 0);
    check.problems.truncate(MAX_TOLD);
    check.problems
}

struct Check<'a> {
    root: &'a Value,
    whole: &'a str,
    steps: usize,
    problems: Vec<String>,
}

impl<'a> Check<'a> {
    fn value(&mut self, schema: &'a Value, value: &Value, at: &mut String, level: usize) {
        if self.steps == 0 || level > MAX_LEVELS || self.problems.len() >= MAX_TOLD {
            return;
        }
        self.steps -= 1;
        let schema = match schema {
            Value::Bool(false) => return self.tell(at, "is not taken"),
            Value::Object(schema) => schema,
            _ => return,
        };
        if value.is_null() && schema.get("nullable") == Some(&Value::Bool(true)) {
            return;
        }
        if let Some(meant) = schema.get("$ref").and_then(Value::as_str).and_then(|path| self.referred(path)) {
            self.value(meant, value, at, level + 1);
        }
        if !self.kinds(schema, value, at) {
            return;
        }
        match value {
            Value::Object(members) => self.members(schema, members, at, level),
            Value::Array(items) => self.items(schema, items, at, level),
            Value::String(text) => {
                self.length(schema, ["minLength", "maxLength"], text.chars().count(), "characters", at);
            }
            Value::Number(_) => self.bounds(schema, value.as_f64().unwrap_or_default(), at),
            _ => {}
        }
        self.alternatives(schema, value, at, level);
    }

    /// A part of the schema itself: nothing else is ever read.
    fn referred(&self, path: &str) -> Option<&'a Value> {
        self.root.pointer(path.strip_prefix('#')?)
    }

    /// Types and enumerations; whether what is inside is worth a look.
    fn kinds(&mut self, schema: &Map<String, Value>, value: &Value, at: &str) -> bool {
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if !types.is_empty() && !types.iter().any(|wanted| is(wanted, value)) {
            self.tell(at, &format!("must be {}, and is {}", types.join(" or "), kind(value)));
            return false;
        }
        let allowed = schema.get("enum").and_then(Value::as_array).map(Vec::as_slice);
        let allowed = allowed.or_else(|| schema.get("const").map(std::slice::from_ref));
        let Some(allowed) = allowed.filter(|allowed| !allowed.iter().any(|allowed| same(allowed, value))) else {
            return true;
        };
        let shown: Vec<String> = allowed.iter().take(20).map(|value| clipped(&value.to_string())).collect();
        self.tell(at, &format!("must be one of {}", shown.join(", ")));
        false
    }

    fn members(&mut self, schema: &'a Map<String, Value>, members: &Map<String, Value>, at: &mut String, level: usize) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let required: Vec<&str> = required.filter_map(Value::as_str).collect();
        for name in required.iter().filter(|name| !members.contains_key(**name)) {
            within(at, name, |at| self.tell(at, "is missing"));
        }
        self.length(schema, ["minProperties", "maxProperties"], members.len(), "members", at);
        let rest = schema.get("additionalProperties").filter(|_| !schema.contains_key("patternProperties"));
        for (name, value) in members {
            match (properties.and_then(|properties| properties.get(name)), rest) {
                (Some(_), _) if value.is_null() && !required.contains(&name.as_str()) => {}
                (Some(schema), _) => within(at, name, |at| self.value(schema, value, at, level + 1)),
                (None, Some(Value::Bool(false))) => within(at, name, |at| self.tell(at, "is not known")),
                (None, Some(rest)) => within(at, name, |at| self.value(rest, value, at, level + 1)),
                (None, None) => {}
            }
        }
    }

    fn items(&mut self, schema: &'a Map<String, Value>, items: &[Value], at: &mut String, level: usize) {
        self.length(schema, ["minItems", "maxItems"], items.len(), "items", at);
        let first = schema.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (place, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(place).or_else(|| schema.get("items")) {
                let length = at.len();
                at.push_str(&format!("[{place}]"));
                self.value(schema, item, at, level + 1);
                at.truncate(length);
            }
        }
    }

    fn bounds(&mut self, schema: &Map<String, Value>, number: f64, at: &str) {
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        let broken = [
            ("at least", bound("minimum").filter(|bound| number < *bound)),
            ("at most", bound("maximum").filter(|bound| number > *bound)),
            ("more than", bound("exclusiveMinimum").filter(|bound| number <= *bound)),
            ("less than", bound("exclusiveMaximum").filter(|bound| number >= *bound)),
        ];
        for (word, bound) in broken {
            if let Some(bound) = bound {
                self.tell(at, &format!("must be {word} {bound}, and is {number}"));
            }
        }
    }

    fn length(&mut self, schema: &Map<String, Value>, names: [&str; 2], length: usize, of: &str, at: &str) {
        let [least, most] = names.map(|name| schema.get(name).and_then(Value::as_f64));
        let broken = [
            ("at least", least.filter(|least| (length as f64) < *least)),
            ("at most", most.filter(|most| length as f64 > *most)),
        ];
        for (word, bound) in broken {
            if let Some(bound) = bound {
                self.tell(at, &format!("must have {word} {bound} {of}, and has {length}"));
            }
        }
    }

    /// All of these, any of those, exactly one of them.
    fn alternatives(&mut self, schema: &'a Map<String, Value>, value: &Value, at: &mut String, level: usize) {
        let listed = |name: &str| schema.get(name).and_then(Value::as_array).map(Vec::as_slice);
        for part in listed("allOf").unwrap_or_default() {
            self.value(part, value, at, level + 1);
        }
        for (name, exactly) in [("anyOf", false), ("oneOf", true)] {
            let Some(parts) = listed(name) else { continue };
            let before = std::mem::take(&mut self.problems);
            let (mut fitting, mut nearest) = (0, None::<Vec<String>>);
            for part in parts {
                self.value(part, value, at, level + 1);
                let found = std::mem::take(&mut self.problems);
                if found.is_empty() {
                    fitting += 1;
                } else if part["type"] != "null" {
                    nearest.get_or_insert(found);
                }
            }
            self.problems = before;
            match (fitting, nearest) {
                // Of something or nothing, what is wrong inside says more.
                (0, Some(found)) if parts.iter().filter(|part| part["type"] != "null").count() == 1 => {
                    self.problems.extend(found);
                }
                (0, _) => self.tell(at, "fits none of the forms that are taken"),
                (2.., _) if exactly && self.steps > 0 => {
                    self.tell(at, "fits more than one of the forms that are taken")
                }
                _ => {}
            }
        }
    }

    fn tell(&mut self, at: &str, problem: &str) {
        let named = if at.is_empty() { self.whole.to_owned() } else { format!("`{at}`") };
        self.problems.push(format!("{named} {problem}"));
    }
}

/// Goes on with a member's place.
fn within(at: &mut String, name: &str, then: impl FnOnce(&mut String)) {
    let length = at.len();
    if length > 0 {
        at.push('.');
    }
    at.push_str(&clipped(name));
    then(at);
    at.truncate(length);
}

fn clipped(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Whether two values are the same; numbers by what they are, not by how they are written.
fn same(one: &Value, other: &Value) -> bool {
    one == other || (one.is_number() && other.is_number() && one.as_f64() == other.as_f64())
}

fn is(wanted: &str, value: &Value) -> bool {
    match wanted {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        // A type that the standard does not know: the tool judges.
        _ => true,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_are_held_to_the_whole_schema() {
        let schema = json!({
            "type": "object",
            "properties": {
                "a": {"type": "number", "maximum": 10}, "n": {"type": "integer"}, "who": {"type": ["string", "null"]},
                "unit": {"enum": ["day", "hour"]}, "tag": {"type": "string", "minLength": 2, "maxLength": 3},
                "deep": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
                "list": {"type": "array", "items": {"$ref": "#/$defs/item"}, "maxItems": 2},
                "maybe": {"anyOf": [{"$ref": "#/$defs/item"}, {"type": "null"}]},
            },
            "required": ["a"],
            "additionalProperties": false,
            "$defs": {"item": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
        });
        let fitting = [
            json!({"a": 1}),
            json!({"a": 1.5, "n": 3, "who": null, "unit": "day"}),
            json!({"a": 1, "n": 3.0, "tag": "äö"}),
            json!({"a": 1, "unit": null, "maybe": null}),
            json!({"a": 1, "deep": {"x": 1, "y": "z"}, "list": [{"name": "n"}], "maybe": {"name": "n"}}),
        ];
        for args in fitting {
            assert_eq!(check(&schema, &args), Ok(()), "{args}");
        }
        let wrong = [
            (json!({}), "`a` is missing"),
            (json!({"a": null}), "`a` must be number, and is null"),
            (json!({"a": "1"}), "`a` must be number, and is a string"),
            (json!({"a": 99999}), "`a` must be at most 10, and is 99999"),
            (json!({"a": 1, "n": 1.5}), "`n` must be integer, and is a number"),
            (json!({"a": 1, "unit": "week"}), "`unit` must be one of \"day\", \"hour\""),
            (json!({"a": 1, "tag": "äöüß"}), "`tag` must have at most 3 characters, and has 4"),
            (json!({"a": 1, "deep": {}}), "`deep.x` is missing"),
            (json!({"a": 1, "deep": {"x": "no"}}), "`deep.x` must be integer, and is a string"),
            (json!({"a": 1, "list": [{"name": "n"}, {"name": 2}]}), "`list[1].name` must be string, and is a number"),
            (json!({"a": 1, "list": [{"name": ""}, {"name": ""}, {"name": ""}]}), "`list` must have at most 2 items"),
            (json!({"a": 1, "maybe": {"name": false}}), "`maybe.name` must be string, and is a boolean"),
            (json!({"a": 1, "b": 2}), "`b` is not known"),
            (json!([1]), "must be a JSON object, and are an array"),
            (json!("{\"a\":1}"), "must be a JSON object, and are a string"),
        ];
        for (args, expected) in wrong {
            let said = check(&schema, &args).expect_err("wrong");
            assert!(said.contains(expected), "{args}: {said}");
        }
    }

    #[test]
    fn a_schema_that_says_nothing_or_nonsense_takes_any_object() {
        let nonsense = json!({
            "properties": 3, "required": {"a": 1}, "enum": {}, "anyOf": 1, "minimum": "x", "$ref": "https://example.com/x",
        });
        for schema in [json!({}), json!(true), nonsense, json!({"$ref": "#/nowhere"})] {
            assert_eq!(check(&schema, &json!({"a": [1, 2]})), Ok(()), "{schema}");
        }
    }

    #[test]
    fn only_the_first_problems_are_told() {
        let names: Vec<String> = (0..100).map(|n| format!("p{n}")).collect();
        let said = check(&json!({"required": names}), &json!({})).expect_err("much is missing");
        assert_eq!(said.matches("is missing").count(), MAX_TOLD);
    }

    #[test]
    fn a_schema_that_refers_to_itself_costs_no_more_than_its_bound() {
        let loops = json!({"$ref": "#"});
        assert_eq!(check(&loops, &json!({"a": 1})), Ok(()));
        // Each level asks twice for the next one.
        let level =
            |n: u32| json!({"allOf": [{"$ref": format!("#/$defs/{}", n + 1)}, {"$ref": format!("#/$defs/{}", n + 1)}]});
        let levels: Map<String, Value> = (0..60).map(|n| (n.to_string(), level(n))).collect();
        let began = std::time::Instant::now();
        assert_eq!(check(&json!({"$ref": "#/$defs/0", "$defs": levels}), &json!({})), Ok(()));
        assert!(began.elapsed() < std::time::Duration::from_secs(5));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            (-3..4i64).prop_map(Value::from),
            Just(json!(1.5)),
            any::<bool>().prop_map(Value::from),
            "[ab]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 0..3)
                    .prop_map(|map| Value::from(map.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    fn schema() -> impl Strategy<Value = Value> {
        let kinds = prop::sample::select(vec!["string", "number", "integer", "boolean", "array", "object", "null"]);
        let leaf = prop_oneof![
            kinds.prop_map(|kind| json!({"type": kind})),
            (-2..1i64, 0..3i64).prop_map(|(min, max)| json!({"minimum": min, "exclusiveMaximum": max})),
            (0..2u64, 1..3u64).prop_map(|(min, max)| json!({"minLength": min, "maxLength": max, "maxItems": max})),
            prop::collection::vec(value(), 1..3).prop_map(|values| json!({"enum": values})),
            value().prop_map(|value| json!({"const": value})),
            any::<bool>().prop_map(Value::from),
            Just(json!({"$ref": "#/$defs/one"})),
        ];
        leaf.prop_recursive(3, 24, 3, |inner| {
            let several = prop::collection::vec(inner.clone(), 1..3);
            prop_oneof![
                (inner.clone(), inner.clone(), inner.clone(), "[abc]").prop_map(|(a, b, rest, needed)| json!({
                    "properties": {"a": a, "b": b}, "additionalProperties": rest, "required": [needed],
                })),
                (inner.clone(), inner.clone()).prop_map(|(first, rest)| json!({"prefixItems": [first], "items": rest})),
                (several, prop::sample::select(vec!["anyOf", "oneOf", "allOf"]))
                    .prop_map(|(several, name)| Value::from(Map::from_iter([(name.to_owned(), several.into())]))),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_standard_has_the_same_verdict(schema in schema(), one in schema(), value in value()) {
            // One that refers to itself has no end.
            let one = if one.to_string().contains("$ref") { json!({"type": "string"}) } else { one };
            let schema = json!({"allOf": [schema], "$defs": {"one": one}});
            if let Ok(standard) = jsonschema::validator_for(&schema) {
                let found = problems(&schema, &value, "it");
                prop_assert_eq!(found.is_empty(), standard.is_valid(&value), "{} {} {:?}", schema, value, found);
            }
        }
    }
}
