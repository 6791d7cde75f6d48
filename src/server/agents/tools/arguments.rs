//! Whether arguments fit a tool, before a person is asked about them and before it is called.
//!
//! Looks at the top of the schema: an object, what is required, types, enumerations, names that are not known. Schemas come
//! from servers, so nothing in them is looked up or run (no references, no regular expressions); what is deeper is the
//! tool's own to judge.

use serde_json::{Map, Value};

/// Most problems that are told at once.
const MAX_TOLD: usize = 5;

/// What is wrong with `args`, in words that a model can act on; nothing where they fit as far as this looks.
///
/// # Errors
/// One sentence.
pub fn check(schema: &Value, args: &Value) -> Result<(), String> {
    let Value::Object(args) = args else {
        return Err(format!("The arguments must be a JSON object, and are {}.", kind(args)));
    };
    let problems = problems(schema, args);
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!("The arguments do not fit the tool: {}.", problems.join("; ")))
}

fn problems(schema: &Value, args: &Map<String, Value>) -> Vec<String> {
    let properties = schema["properties"].as_object();
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let required: Vec<&str> = required.collect();
    let missing = required.iter().filter(|name| !args.contains_key(**name)).map(|name| format!("`{name}` is missing"));
    let mut problems: Vec<String> = missing.collect();
    for (name, value) in args {
        let shown: String = name.chars().take(64).collect();
        match properties.and_then(|properties| properties.get(name)) {
            Some(_) if value.is_null() && !required.contains(&name.as_str()) => {}
            Some(schema) => problems.extend(problem(schema, value).map(|problem| format!("`{shown}` {problem}"))),
            None if schema["additionalProperties"] == false => problems.push(format!("`{shown}` is not known")),
            None => {}
        }
    }
    problems.truncate(MAX_TOLD);
    problems
}

/// What is wrong with one argument.
fn problem(schema: &Value, value: &Value) -> Option<String> {
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|wanted| is(wanted, value)) {
        return Some(format!("must be {}, and is {}", types.join(" or "), kind(value)));
    }
    let allowed = schema["enum"].as_array()?;
    if allowed.contains(value) {
        return None;
    }
    let shown: Vec<String> = allowed.iter().take(20).map(Value::to_string).collect();
    Some(format!("must be one of {}", shown.join(", ")))
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
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_are_held_to_the_top_of_the_schema() {
        let schema = json!({
            "type": "object",
            "properties": {
                "a": {"type": "number"}, "n": {"type": "integer"}, "who": {"type": ["string", "null"]},
                "unit": {"enum": ["day", "hour"]}, "deep": {"type": "object", "required": ["x"]},
            },
            "required": ["a"],
            "additionalProperties": false,
        });
        let fitting = [
            json!({"a": 1}),
            json!({"a": 1.5, "n": 3, "who": null, "unit": "day"}),
            json!({"a": 1, "n": 3.0}),
            json!({"a": 1, "unit": null}),
            json!({"a": 1, "deep": {}}),
        ];
        for args in fitting {
            assert_eq!(check(&schema, &args), Ok(()), "{args}");
        }
        let wrong = [
            (json!({}), "`a` is missing"),
            (json!({"a": null}), "`a` must be number, and is null"),
            (json!({"a": "1"}), "`a` must be number, and is a string"),
            (json!({"a": 1, "n": 1.5}), "`n` must be integer, and is a number"),
            (json!({"a": 1, "unit": "week"}), "`unit` must be one of \"day\", \"hour\""),
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
        for schema in
            [json!({}), json!(true), json!({"properties": 3, "required": {"a": 1}}), json!({"type": "string"})]
        {
            assert_eq!(check(&schema, &json!({"a": [1, 2]})), Ok(()), "{schema}");
        }
    }

    #[test]
    fn only_the_first_problems_are_told() {
        let names: Vec<String> = (0..100).map(|n| format!("p{n}")).collect();
        let said = check(&json!({"required": names}), &json!({})).expect_err("much is missing");
        assert_eq!(said.matches("is missing").count(), MAX_TOLD);
    }
}
