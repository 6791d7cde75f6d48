//! Validates JSON against a JSON Schema: a tool's arguments, before the user is asked for consent and before the call; a user's
//! answer, before it is accepted.
//!
//! Checks types, enumerations, required and additional properties, bounds of numbers and lengths, items, `allOf`, `anyOf`, `oneOf`,
//! and references within the schema. Schemas come from other servers, so no external reference is resolved, no regular expression
//! is run, and the work is bounded; what is not checked is left to the tool.
//!
//! Differs from the standard in one point: `null` counts as absent for an optional property, because models and forms write it so.
//! This is why the crate `jsonschema` is not used here; the tests compare both.

use serde_json::{Map, Value};

use crate::text::clip;

/// Most problems that are reported.
const MAX_PROBLEMS: usize = 5;
/// Most checks of a value against a subschema.
const MAX_STEPS: usize = 100_000;
/// Deepest nesting of subschemas.
const MAX_DEPTH: usize = 96;

/// Validates a tool's arguments.
///
/// # Errors
/// One sentence for the model.
pub(crate) fn check(schema: &Value, args: &Value) -> Result<(), String> {
    if !args.is_object() {
        return Err(format!("The arguments must be a JSON object, and are {}.", type_name(args)));
    }
    let problems = problems(schema, args, "the arguments");
    if problems.is_empty() {
        Ok(())
    } else {
        Err(format!("The arguments do not fit the tool: {}.", problems.join("; ")))
    }
}

/// Where `value` does not match `schema`: each problem names its place; `whole` is the name of the value itself.
#[must_use]
pub(crate) fn problems(schema: &Value, value: &Value, whole: &str) -> Vec<String> {
    let mut check = Check { root: schema, whole, steps: MAX_STEPS, problems: Vec::new() };
    check.value(schema, value, &mut String::new(), 0);
    check.problems.truncate(MAX_PROBLEMS);
    check.problems
}

struct Check<'a> {
    root: &'a Value,
    whole: &'a str,
    steps: usize,
    problems: Vec<String>,
}

impl<'a> Check<'a> {
    fn value(&mut self, schema: &'a Value, value: &Value, at: &mut String, depth: usize) {
        if self.steps == 0 || depth > MAX_DEPTH || self.problems.len() >= MAX_PROBLEMS {
            return;
        }
        self.steps -= 1;
        let schema = match schema {
            Value::Bool(false) => return self.report(at, "is not allowed"),
            Value::Object(schema) => schema,
            _ => return,
        };
        if value.is_null() && schema.get("nullable") == Some(&Value::Bool(true)) {
            return;
        }
        if let Some(target) = schema.get("$ref").and_then(Value::as_str).and_then(|path| self.resolve(path)) {
            self.value(target, value, at, depth + 1);
        }
        if !self.type_and_enum(schema, value, at) {
            return;
        }
        match value {
            Value::Object(members) => self.properties(schema, members, at, depth),
            Value::Array(items) => self.items(schema, items, at, depth),
            Value::String(text) => {
                self.length(schema, ["minLength", "maxLength"], text.chars().count(), "characters", at);
            }
            Value::Number(_) => self.bounds(schema, value.as_f64().unwrap_or_default(), at),
            _ => {}
        }
        self.combinations(schema, value, at, depth);
    }

    /// Resolves a reference within the schema; external ones are ignored.
    fn resolve(&self, path: &str) -> Option<&'a Value> {
        self.root.pointer(path.strip_prefix('#')?)
    }

    /// Checks `type`, `enum` and `const`; returns whether they match.
    fn type_and_enum(&mut self, schema: &Map<String, Value>, value: &Value, at: &str) -> bool {
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if !types.is_empty() && !types.iter().any(|wanted| is_type(wanted, value)) {
            self.report(at, &format!("must be {}, and is {}", types.join(" or "), type_name(value)));
            return false;
        }
        let allowed = schema.get("enum").and_then(Value::as_array).map(Vec::as_slice);
        let allowed = allowed.or_else(|| schema.get("const").map(std::slice::from_ref));
        let Some(allowed) = allowed.filter(|allowed| !allowed.iter().any(|allowed| equal(allowed, value))) else {
            return true;
        };
        let shown: Vec<String> = allowed.iter().take(20).map(|value| clip(&value.to_string(), 64)).collect();
        self.report(at, &format!("must be one of {}", shown.join(", ")));
        false
    }

    fn properties(
        &mut self,
        schema: &'a Map<String, Value>,
        members: &Map<String, Value>,
        at: &mut String,
        depth: usize,
    ) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let required: Vec<&str> = required.filter_map(Value::as_str).collect();
        for name in required.iter().filter(|name| !members.contains_key(**name)) {
            within(at, name, |at| self.report(at, "is missing"));
        }
        self.length(schema, ["minProperties", "maxProperties"], members.len(), "properties", at);
        let rest = schema.get("additionalProperties").filter(|_| !schema.contains_key("patternProperties"));
        for (name, value) in members {
            match (properties.and_then(|properties| properties.get(name)), rest) {
                (Some(_), _) if value.is_null() && !required.contains(&name.as_str()) => {}
                (Some(schema), _) => within(at, name, |at| self.value(schema, value, at, depth + 1)),
                (None, Some(Value::Bool(false))) => within(at, name, |at| self.report(at, "is not a known property")),
                (None, Some(rest)) => within(at, name, |at| self.value(rest, value, at, depth + 1)),
                (None, None) => {}
            }
        }
    }

    fn items(&mut self, schema: &'a Map<String, Value>, items: &[Value], at: &mut String, depth: usize) {
        self.length(schema, ["minItems", "maxItems"], items.len(), "items", at);
        let first = schema.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (place, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(place).or_else(|| schema.get("items")) {
                let length = at.len();
                at.push_str(&format!("[{place}]"));
                self.value(schema, item, at, depth + 1);
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
                self.report(at, &format!("must be {word} {bound}, and is {number}"));
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
                self.report(at, &format!("must have {word} {bound} {of}, and has {length}"));
            }
        }
    }

    /// Checks `allOf`, `anyOf` and `oneOf`.
    fn combinations(&mut self, schema: &'a Map<String, Value>, value: &Value, at: &mut String, depth: usize) {
        let listed = |name: &str| schema.get(name).and_then(Value::as_array).map(Vec::as_slice);
        for part in listed("allOf").unwrap_or_default() {
            self.value(part, value, at, depth + 1);
        }
        for (name, exactly) in [("anyOf", false), ("oneOf", true)] {
            let Some(parts) = listed(name) else { continue };
            let before = std::mem::take(&mut self.problems);
            let (mut matching, mut nearest) = (0, None::<Vec<String>>);
            for part in parts {
                self.value(part, value, at, depth + 1);
                let found = std::mem::take(&mut self.problems);
                if found.is_empty() {
                    matching += 1;
                } else if part["type"] != "null" {
                    nearest.get_or_insert(found);
                }
            }
            self.problems = before;
            match (matching, nearest) {
                // For an optional value, the problems of its schema say more than that neither matches.
                (0, Some(found)) if parts.iter().filter(|part| part["type"] != "null").count() == 1 => {
                    self.problems.extend(found);
                }
                (0, _) => self.report(at, "matches none of the allowed forms"),
                (2.., _) if exactly && self.steps > 0 => self.report(at, "matches more than one of the allowed forms"),
                _ => {}
            }
        }
    }

    fn report(&mut self, at: &str, problem: &str) {
        let named = if at.is_empty() { self.whole.to_owned() } else { format!("`{at}`") };
        self.problems.push(format!("{named} {problem}"));
    }
}

/// Runs `then` with the place of a property.
fn within(at: &mut String, name: &str, then: impl FnOnce(&mut String)) {
    let length = at.len();
    if length > 0 {
        at.push('.');
    }
    at.push_str(&clip(name, 64));
    then(at);
    at.truncate(length);
}

/// Whether two values are equal; numbers by value, not by notation.
fn equal(one: &Value, other: &Value) -> bool {
    one == other || (one.is_number() && other.is_number() && one.as_f64() == other.as_f64())
}

fn is_type(wanted: &str, value: &Value) -> bool {
    match wanted {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        // Not a type of the standard: left to the tool.
        _ => true,
    }
}

fn type_name(value: &Value) -> &'static str {
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
    fn arguments_are_validated_against_the_whole_schema() {
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
        let matching = [
            json!({"a": 1}),
            json!({"a": 1.5, "n": 3, "who": null, "unit": "day"}),
            json!({"a": 1, "n": 3.0, "tag": "äö"}),
            json!({"a": 1, "unit": null, "maybe": null}),
            json!({"a": 1, "deep": {"x": 1, "y": "z"}, "list": [{"name": "n"}], "maybe": {"name": "n"}}),
        ];
        for args in matching {
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
            (json!({"a": 1, "b": 2}), "`b` is not a known property"),
            (json!([1]), "must be a JSON object, and are an array"),
            (json!("{\"a\":1}"), "must be a JSON object, and are a string"),
        ];
        for (args, expected) in wrong {
            let error = check(&schema, &args).expect_err("wrong");
            assert!(error.contains(expected), "{args}: {error}");
        }
    }

    #[test]
    fn an_empty_or_invalid_schema_accepts_any_object() {
        let nonsense = json!({
            "properties": 3, "required": {"a": 1}, "enum": {}, "anyOf": 1, "minimum": "x", "$ref": "https://example.com/x",
        });
        for schema in [json!({}), json!(true), nonsense, json!({"$ref": "#/nowhere"})] {
            assert_eq!(check(&schema, &json!({"a": [1, 2]})), Ok(()), "{schema}");
        }
    }

    #[test]
    fn only_the_first_problems_are_reported() {
        let names: Vec<String> = (0..100).map(|n| format!("p{n}")).collect();
        let error = check(&json!({"required": names}), &json!({})).expect_err("much is missing");
        assert_eq!(error.matches("is missing").count(), MAX_PROBLEMS);
    }

    #[test]
    fn the_work_for_a_recursive_schema_is_bounded() {
        let loops = json!({"$ref": "#"});
        assert_eq!(check(&loops, &json!({"a": 1})), Ok(()));
        // Each level refers twice to the next one.
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
        fn the_crate_jsonschema_has_the_same_verdict(schema in schema(), one in schema(), value in value()) {
            // Without recursion, which the crate does not bound.
            let one = if one.to_string().contains("$ref") { json!({"type": "string"}) } else { one };
            let schema = json!({"allOf": [schema], "$defs": {"one": one}});
            if let Ok(standard) = jsonschema::validator_for(&schema) {
                let found = problems(&schema, &value, "it");
                prop_assert_eq!(found.is_empty(), standard.is_valid(&value), "{} {} {:?}", schema, value, found);
            }
        }
    }
}
