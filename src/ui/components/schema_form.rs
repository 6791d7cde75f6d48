//! A form for an answer that a JSON Schema describes. Simple types get fields; anything else is entered as JSON. Only types and
//! required fields are checked here: the agent checks the rest of its schema.

use leptos::{ev::SubmitEvent, prelude::*};
use serde_json::{Map, Value, json};

use super::{
    field::{Control, Field},
    focus::focus_id,
    json::json_error,
};

/// The type of a field's value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FieldType {
    Boolean,
    String,
    Number { integer: bool },
    OneOf(Vec<Choice>),
    Json,
}

/// One of several values, with its label.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Choice {
    value: Value,
    label: String,
}

/// A field of the form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SchemaField {
    name: String,
    label: String,
    description: Option<String>,
    required: bool,
    default: Option<Value>,
    field_type: FieldType,
}

/// The fields of an answer: one value, or an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AnswerSchema {
    Value(SchemaField),
    Object(Vec<SchemaField>),
}

/// Objects with more properties are entered as JSON.
const MAX_FIELDS: usize = 30;
/// More choices are shown as a drop-down list instead of radio buttons.
const MAX_RADIO_BUTTONS: usize = 4;

impl SchemaField {
    fn new(name: &str, schema: &Value, required: bool) -> Self {
        let text = |key: &str| schema.get(key).and_then(Value::as_str).map(str::to_owned);
        let field_type = match (choices(schema), schema.get("type").and_then(Value::as_str)) {
            (Some(options), _) => FieldType::OneOf(options),
            (_, Some("boolean")) => FieldType::Boolean,
            (_, Some("string")) => FieldType::String,
            (_, Some("number")) => FieldType::Number { integer: false },
            (_, Some("integer")) => FieldType::Number { integer: true },
            _ => FieldType::Json,
        };
        let label = text("title").unwrap_or_else(|| if name.is_empty() { "Answer".into() } else { name.to_owned() });
        let (name, description, default) = (name.to_owned(), text("description"), schema.get("default").cloned());
        Self { name, label, description, required, default, field_type }
    }

    /// The text that the field starts with.
    fn initial_text(&self) -> String {
        match (&self.field_type, &self.default) {
            (FieldType::OneOf(choices), default) => {
                let index =
                    default.as_ref().and_then(|default| choices.iter().position(|choice| choice.value == *default));
                index.map(|index| index.to_string()).unwrap_or_default()
            }
            (FieldType::String, Some(Value::String(text))) => text.clone(),
            (FieldType::Json, Some(value)) => serde_json::to_string_pretty(value).unwrap_or_default(),
            (_, Some(value)) => value.to_string(),
            (_, None) => String::new(),
        }
    }

    /// The control of the field. Nothing is preselected without a default, not even "no" for a boolean.
    fn control(&self) -> Control {
        match &self.field_type {
            FieldType::Boolean => Control::Radio(vec![("true".into(), "Yes".into()), ("false".into(), "No".into())]),
            FieldType::OneOf(choices) => {
                let all = choices.iter().enumerate().map(|(index, choice)| (index.to_string(), choice.label.clone()));
                // Radio buttons cannot be cleared, so an optional field is a list with an empty option.
                match self.required && choices.len() <= MAX_RADIO_BUTTONS {
                    true => Control::Radio(all.collect()),
                    false => Control::Select([(String::new(), "Choose".into())].into_iter().chain(all).collect()),
                }
            }
            FieldType::Json => Control::TextArea { code: true },
            FieldType::Number { .. } => Control::Number,
            FieldType::String => Control::TextLine,
        }
    }

    /// Parses the text of the field; `None` if it is empty and optional.
    fn parse(&self, raw: &str) -> Result<Option<Value>, String> {
        let text = raw.trim();
        if text.is_empty() {
            return if self.required { Err("This field is required.".into()) } else { Ok(None) };
        }
        let value = match &self.field_type {
            FieldType::Boolean => Value::Bool(text == "true"),
            FieldType::String => Value::String(raw.to_owned()),
            FieldType::Number { integer: true } => text.parse::<i64>().map_err(|_| "Enter a whole number.")?.into(),
            FieldType::Number { integer: false } => text.parse::<f64>().map_err(|_| "Enter a number.")?.into(),
            FieldType::OneOf(choices) => text
                .parse::<usize>()
                .ok()
                .and_then(|index| choices.get(index))
                .ok_or("Choose an option.")?
                .value
                .clone(),
            FieldType::Json => serde_json::from_str(text).map_err(|error| json_error(&error))?,
        };
        Ok(Some(value))
    }
}

/// The values that a schema allows, if it lists them: an `enum`, optionally with `enumNames`, or a `oneOf`/`anyOf` of constants,
/// optionally with titles.
fn choices(schema: &Value) -> Option<Vec<Choice>> {
    let list = |key: &str| schema.get(key).and_then(Value::as_array).filter(|list| !list.is_empty());
    let choice = |value: &Value, title: Option<&Value>| {
        let value_text = || value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Choice { value: value.clone(), label: title.and_then(Value::as_str).map_or_else(value_text, str::to_owned) }
    };
    if let Some(values) = list("enum") {
        let names = list("enumNames").filter(|names| names.len() == values.len());
        let named = |(index, value): (usize, &Value)| choice(value, names.and_then(|names| names.get(index)));
        return Some(values.iter().enumerate().map(named).collect());
    }
    let constant = |option: &Value| Some(choice(option.get("const")?, option.get("title")));
    list("oneOf").or_else(|| list("anyOf"))?.iter().map(constant).collect()
}

impl AnswerSchema {
    /// The fields for a schema; without one, a single text field.
    pub(crate) fn new(schema: Option<&Value>) -> Self {
        let text = json!({"type": "string"});
        let schema = schema.unwrap_or(&text);
        let required = |name: &str| {
            let names = schema.get("required").and_then(Value::as_array);
            names.is_some_and(|names| names.iter().any(|required| required == name))
        };
        match schema.get("properties").and_then(Value::as_object) {
            Some(properties) if (1..=MAX_FIELDS).contains(&properties.len()) => Self::Object(
                properties.iter().map(|(name, schema)| SchemaField::new(name, schema, required(name))).collect(),
            ),
            _ => Self::Value(SchemaField::new("", schema, true)),
        }
    }

    fn fields(&self) -> Vec<SchemaField> {
        match self {
            Self::Value(field) => vec![field.clone()],
            Self::Object(fields) => fields.clone(),
        }
    }

    /// Parses the texts of all fields into the answer, or returns each field's error.
    fn parse(&self, texts: &[String]) -> Result<Value, Vec<Option<String>>> {
        let parsed: Vec<_> = self.fields().iter().zip(texts).map(|(field, text)| field.parse(text)).collect();
        if parsed.iter().any(Result::is_err) {
            return Err(parsed.into_iter().map(Result::err).collect());
        }
        let values = parsed.into_iter().map(|value| value.unwrap_or_default());
        Ok(match self {
            Self::Value(_) => values.flatten().next().unwrap_or_default(),
            Self::Object(fields) => {
                let named = fields.iter().zip(values).filter_map(|(field, value)| Some((field.name.clone(), value?)));
                Value::Object(named.collect::<Map<_, _>>())
            }
        })
    }
}

/// A form for an answer.
#[component]
pub(crate) fn SchemaForm(
    /// A prefix of element ids, unique in the page.
    id: String,
    schema: AnswerSchema,
    #[prop(into)] disabled: Signal<bool>,
    on_answer: Callback<Value>,
    /// More buttons.
    children: Children,
) -> impl IntoView {
    let fields = schema.fields();
    let texts: Vec<RwSignal<String>> = fields.iter().map(|field| RwSignal::new(field.initial_text())).collect();
    let errors = RwSignal::new(vec![None::<String>; fields.len()]);
    let view_of = |(index, (field, text)): (usize, (SchemaField, RwSignal<String>))| {
        let error = Memo::new(move |_| errors.with(|errors| errors.get(index).cloned().flatten()));
        let label = if field.required { field.label.clone() } else { format!("{} (optional)", field.label) };
        let help = field.description.clone().unwrap_or_default();
        let help =
            if field.field_type == FieldType::Json { format!("{help} Enter JSON.").trim().to_owned() } else { help };
        view! { <Field id=format!("{id}-{index}") label help control=field.control() text error/> }
    };
    let fields = fields.into_iter().zip(texts.clone()).enumerate().map(view_of).collect_view();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let texts: Vec<String> = texts.iter().map(RwSignal::get_untracked).collect();
        match schema.parse(&texts) {
            Ok(value) => on_answer.run(value),
            Err(found) => {
                let first = found.iter().position(Option::is_some).unwrap_or_default();
                errors.set(found);
                focus_id(&format!("{id}-{first}"));
            }
        }
    };
    view! {
        <form class="schema-form" novalidate on:submit=submit>
            {fields}
            <div class="form-actions">
                <button type="submit" class="button" disabled=move || disabled.get()>"Answer"</button>
                {children()}
            </div>
        </form>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(schema: Value, texts: &[&str]) -> Result<Value, Vec<Option<String>>> {
        AnswerSchema::new(Some(&schema)).parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn simple_types_are_parsed() {
        assert_eq!(parse(json!({"type": "boolean"}), &["true"]), Ok(json!(true)));
        assert_eq!(parse(json!({"type": "string"}), &["hello"]), Ok(json!("hello")));
        assert_eq!(parse(json!({"type": "integer"}), &["7"]), Ok(json!(7)));
        assert_eq!(parse(json!({"enum": ["low", 2]}), &["1"]), Ok(json!(2)));
        assert!(parse(json!({"type": "integer"}), &["7.5"]).is_err());
        assert!(parse(json!({"type": "number"}), &[""]).is_err());
    }

    #[test]
    fn an_object_has_a_field_for_each_property_and_empty_fields_are_omitted() {
        let schema = json!({"type": "object", "required": ["name"], "properties": {
            "more": {"type": "array"}, "name": {"type": "string"}, "size": {"type": "number"}}});
        assert_eq!(parse(schema.clone(), &["[1]", "x", ""]), Ok(json!({"more": [1], "name": "x"})));
        let wrong = parse(schema, &["[1", "", "2"]).expect_err("two are wrong");
        assert_eq!(wrong.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false]);
    }

    #[test]
    fn nothing_is_preselected() {
        assert!(
            parse(
                json!({"type": "boolean"}),
                &[&SchemaField::new("", &json!({"type": "boolean"}), true).initial_text()]
            )
            .is_err()
        );
        let few = SchemaField::new("", &json!({"enum": ["low", "high"]}), true);
        assert!(
            matches!(few.control(), Control::Radio(options) if options.len() == 2) && few.initial_text().is_empty()
        );
        let optional = SchemaField { required: false, ..few };
        assert!(matches!(optional.control(), Control::Select(options) if options[0].0.is_empty()));
    }

    #[test]
    fn constants_and_enum_names_are_choices() {
        let schemas = [
            json!({"type": "string", "oneOf": [{"const": "w", "title": "Window"}, {"const": "d"}]}),
            json!({"type": "string", "enum": ["w", "d"], "enumNames": ["Window", "d"]}),
        ];
        for schema in schemas {
            let field = SchemaField::new("", &schema, true);
            let Control::Radio(options) = field.control() else { panic!("not radio buttons: {schema}") };
            assert_eq!(options, [("0".to_owned(), "Window".to_owned()), ("1".to_owned(), "d".to_owned())]);
            assert_eq!(field.parse("1"), Ok(Some(json!("d"))));
        }
        let mixed = json!({"oneOf": [{"const": "w"}, {"type": "number"}]});
        assert_eq!(SchemaField::new("", &mixed, true).field_type, FieldType::Json);
    }

    #[test]
    fn other_schemas_are_entered_as_json() {
        assert_eq!(parse(json!({"oneOf": []}), &["{\"a\": 1}"]), Ok(json!({"a": 1})));
    }

    #[test]
    fn without_a_schema_the_answer_is_text() {
        assert_eq!(AnswerSchema::new(None).parse(&["null".to_owned()]), Ok(json!("null")));
    }
}
