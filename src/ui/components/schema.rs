//! A form for an answer that a JSON Schema describes: simple types as fields, anything else as JSON. What a schema demands
//! beyond its types is the agent's to check.

use leptos::{ev::SubmitEvent, prelude::*};
use serde_json::{Map, Value, json};

use super::{
    field::{Control, Field, focus},
    json,
};

/// What a field takes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    Flag,
    Text,
    Number { whole: bool },
    One(Vec<Choice>),
    Json,
}

/// One of several values, and what it is called.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Choice {
    value: Value,
    title: String,
}

/// A field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    name: String,
    title: String,
    about: Option<String>,
    required: bool,
    first: Option<Value>,
    shape: Shape,
}

/// An answer: one value, or an object of some.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Value(Part),
    Object(Vec<Part>),
}

/// How many properties make a form; more are JSON.
const MOST_PARTS: usize = 30;
/// How many options are all in sight.
const MOST_PICKS: usize = 4;

impl Part {
    fn of(name: &str, schema: &Value, required: bool) -> Self {
        let text = |key: &str| schema.get(key).and_then(Value::as_str).map(str::to_owned);
        let shape = match (choices(schema), schema.get("type").and_then(Value::as_str)) {
            (Some(options), _) => Shape::One(options),
            (_, Some("boolean")) => Shape::Flag,
            (_, Some("string")) => Shape::Text,
            (_, Some("number")) => Shape::Number { whole: false },
            (_, Some("integer")) => Shape::Number { whole: true },
            _ => Shape::Json,
        };
        let title = text("title").unwrap_or_else(|| if name.is_empty() { "Answer".into() } else { name.to_owned() });
        let (name, about, first) = (name.to_owned(), text("description"), schema.get("default").cloned());
        Self { name, title, about, required, first, shape }
    }

    /// What the field shows at first.
    fn begin(&self) -> String {
        match (&self.shape, &self.first) {
            (Shape::One(options), first) => {
                let at = first.as_ref().and_then(|first| options.iter().position(|option| option.value == *first));
                at.map(|at| at.to_string()).unwrap_or_default()
            }
            (Shape::Text, Some(Value::String(text))) => text.clone(),
            (Shape::Json, Some(value)) => serde_json::to_string_pretty(value).unwrap_or_default(),
            (_, Some(value)) => value.to_string(),
            (_, None) => String::new(),
        }
    }

    /// How it is filled in. Yes or no is never taken for granted: neither is chosen before a person does.
    fn control(&self) -> Control {
        match &self.shape {
            Shape::Flag => Control::Picks(vec![("true".into(), "Yes".into()), ("false".into(), "No".into())]),
            Shape::One(options) => {
                let all = options.iter().enumerate().map(|(at, option)| (at.to_string(), option.title.clone()));
                // What was picked cannot be unpicked; what may be left out has an option for that.
                match self.required && options.len() <= MOST_PICKS {
                    true => Control::Picks(all.collect()),
                    false => Control::Choice([(String::new(), "Choose".into())].into_iter().chain(all).collect()),
                }
            }
            Shape::Json => Control::Text { code: true },
            Shape::Number { .. } => Control::Number,
            Shape::Text => Control::Line,
        }
    }

    /// What was filled in; nothing where it was left out and may be.
    fn read(&self, raw: &str) -> Result<Option<Value>, String> {
        let text = raw.trim();
        if text.is_empty() {
            return if self.required { Err("This is needed.".into()) } else { Ok(None) };
        }
        let value = match &self.shape {
            Shape::Flag => Value::Bool(text == "true"),
            Shape::Text => Value::String(raw.to_owned()),
            Shape::Number { whole: true } => text.parse::<i64>().map_err(|_| "A whole number is needed.")?.into(),
            Shape::Number { whole: false } => text.parse::<f64>().map_err(|_| "A number is needed.")?.into(),
            Shape::One(options) => {
                text.parse::<usize>().ok().and_then(|at| options.get(at)).ok_or("Choose one.")?.value.clone()
            }
            Shape::Json => serde_json::from_str(text).map_err(|error| json::wrong(&error))?,
        };
        Ok(Some(value))
    }
}

/// The values that a schema leaves to choose from: an `enum`, with `enumNames` where there are some, or constants with titles.
fn choices(schema: &Value) -> Option<Vec<Choice>> {
    let list = |key: &str| schema.get(key).and_then(Value::as_array).filter(|list| !list.is_empty());
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let title = |title: Option<&Value>, value: &Value| {
        title.and_then(Value::as_str).map_or_else(|| plain(value), str::to_owned)
    };
    if let Some(values) = list("enum") {
        let names = list("enumNames").filter(|names| names.len() == values.len());
        let choice = |(at, value): (usize, &Value)| {
            let title = title(names.and_then(|names| names.get(at)), value);
            Choice { value: value.clone(), title }
        };
        return Some(values.iter().enumerate().map(choice).collect());
    }
    let constant = |option: &Value| {
        let value = option.get("const")?;
        Some(Choice { value: value.clone(), title: title(option.get("title"), value) })
    };
    list("oneOf").or_else(|| list("anyOf"))?.iter().map(constant).collect()
}

impl Answer {
    /// What a schema asks for; without one, words.
    pub(crate) fn of(schema: Option<&Value>) -> Self {
        let words = json!({"type": "string"});
        let schema = schema.unwrap_or(&words);
        let required = |name: &str| {
            let names = schema.get("required").and_then(Value::as_array);
            names.is_some_and(|names| names.iter().any(|required| required == name))
        };
        match schema.get("properties").and_then(Value::as_object) {
            Some(properties) if (1..=MOST_PARTS).contains(&properties.len()) => {
                Self::Object(properties.iter().map(|(name, part)| Part::of(name, part, required(name))).collect())
            }
            _ => Self::Value(Part::of("", schema, true)),
        }
    }

    fn parts(&self) -> Vec<Part> {
        match self {
            Self::Value(part) => vec![part.clone()],
            Self::Object(parts) => parts.clone(),
        }
    }

    /// The answer, or what is wrong with each field.
    fn read(&self, raw: &[String]) -> Result<Value, Vec<Option<String>>> {
        let read: Vec<_> = self.parts().iter().zip(raw).map(|(part, raw)| part.read(raw)).collect();
        if read.iter().any(Result::is_err) {
            return Err(read.into_iter().map(Result::err).collect());
        }
        let values = read.into_iter().map(|value| value.unwrap_or_default());
        Ok(match self {
            Self::Value(_) => values.flatten().next().unwrap_or_default(),
            Self::Object(parts) => {
                let named = parts.iter().zip(values).filter_map(|(part, value)| Some((part.name.clone(), value?)));
                Value::Object(named.collect::<Map<_, _>>())
            }
        })
    }
}

/// The form.
#[component]
pub(crate) fn SchemaForm(
    /// Tells its fields from those of other forms of the page.
    id: String,
    answer: Answer,
    #[prop(into)] disabled: Signal<bool>,
    on_answer: Callback<Value>,
    /// Further buttons.
    children: Children,
) -> impl IntoView {
    let parts = answer.parts();
    let raw: Vec<RwSignal<String>> = parts.iter().map(|part| RwSignal::new(part.begin())).collect();
    let errors = RwSignal::new(vec![None::<String>; parts.len()]);
    let field = |(index, (part, text)): (usize, (Part, RwSignal<String>))| {
        let wrong = Memo::new(move |_| errors.with(|errors| errors.get(index).cloned().flatten()));
        let label = if part.required { part.title.clone() } else { format!("{} (optional)", part.title) };
        let about = part.about.clone().unwrap_or_default();
        let about = if part.shape == Shape::Json { format!("{about} As JSON.").trim().to_owned() } else { about };
        view! { <Field id=format!("{id}-{index}") label about control=part.control() text wrong/> }
    };
    let fields = parts.into_iter().zip(raw.clone()).enumerate().map(field).collect_view();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let raw: Vec<String> = raw.iter().map(RwSignal::get_untracked).collect();
        match answer.read(&raw) {
            Ok(value) => on_answer.run(value),
            Err(wrong) => {
                let first = wrong.iter().position(Option::is_some).unwrap_or_default();
                errors.set(wrong);
                focus(&format!("{id}-{first}"));
            }
        }
    };
    view! {
        <form class="schema-form" novalidate on:submit=submit>
            {fields}
            <div class="ask-actions">
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

    fn read(schema: Value, raw: &[&str]) -> Result<Value, Vec<Option<String>>> {
        Answer::of(Some(&schema)).read(&raw.iter().map(|raw| (*raw).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn simple_types_are_read_as_they_are() {
        assert_eq!(read(json!({"type": "boolean"}), &["true"]), Ok(json!(true)));
        assert_eq!(read(json!({"type": "string"}), &["hello"]), Ok(json!("hello")));
        assert_eq!(read(json!({"type": "integer"}), &["7"]), Ok(json!(7)));
        assert_eq!(read(json!({"enum": ["low", 2]}), &["1"]), Ok(json!(2)));
        assert!(read(json!({"type": "integer"}), &["7.5"]).is_err());
        assert!(read(json!({"type": "number"}), &[""]).is_err());
    }

    #[test]
    fn an_object_has_a_field_for_each_property_and_what_is_left_out_stays_out() {
        let schema = json!({"type": "object", "required": ["name"], "properties": {
            "more": {"type": "array"}, "name": {"type": "string"}, "size": {"type": "number"}}});
        assert_eq!(read(schema.clone(), &["[1]", "x", ""]), Ok(json!({"more": [1], "name": "x"})));
        let wrong = read(schema, &["[1", "", "2"]).expect_err("two are wrong");
        assert_eq!(wrong.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false]);
    }

    #[test]
    fn nothing_is_chosen_for_a_person() {
        assert!(read(json!({"type": "boolean"}), &[&Part::of("", &json!({"type": "boolean"}), true).begin()]).is_err());
        let few = Part::of("", &json!({"enum": ["low", "high"]}), true);
        assert!(matches!(few.control(), Control::Picks(options) if options.len() == 2) && few.begin().is_empty());
        let optional = Part { required: false, ..few };
        assert!(matches!(optional.control(), Control::Choice(options) if options[0].0.is_empty()));
    }

    #[test]
    fn constants_and_names_are_choices_with_their_titles() {
        let schemas = [
            json!({"type": "string", "oneOf": [{"const": "w", "title": "Window"}, {"const": "d"}]}),
            json!({"type": "string", "enum": ["w", "d"], "enumNames": ["Window", "d"]}),
        ];
        for schema in schemas {
            let part = Part::of("", &schema, true);
            let Control::Picks(options) = part.control() else { panic!("picks: {schema}") };
            assert_eq!(options, [("0".to_owned(), "Window".to_owned()), ("1".to_owned(), "d".to_owned())]);
            assert_eq!(part.read("1"), Ok(Some(json!("d"))));
        }
        let mixed = json!({"oneOf": [{"const": "w"}, {"type": "number"}]});
        assert_eq!(Part::of("", &mixed, true).shape, Shape::Json);
    }

    #[test]
    fn what_no_field_fits_is_json() {
        assert_eq!(read(json!({"oneOf": []}), &["{\"a\": 1}"]), Ok(json!({"a": 1})));
    }

    #[test]
    fn without_a_schema_the_answer_is_in_words() {
        assert_eq!(Answer::of(None).read(&["null".to_owned()]), Ok(json!("null")));
    }
}
