//! Which goals a question states.

use super::*;

fn budget(amount_a_month: f64, currency: &str) -> Goal {
    Goal::Budget { amount_a_month, currency: currency.into() }
}

fn goals(text: &str) -> Vec<Goal> {
    Question::parse(text, &PriceTable::shipped()).goals.into_iter().map(|(goal, _)| goal).collect()
}

#[test]
fn the_numbers_of_a_question_are_read() {
    assert_eq!(goals("Cut cost by 30 % at the same quality."), [Goal::SameQuality, Goal::CutCost { by: Some(0.3) }]);
    assert_eq!(
        goals("Make it three times faster at the same spend."),
        [Goal::Faster { factor: Some(3.0) }, Goal::SameSpend]
    );
    assert_eq!(goals("make it 2.5x faster"), [Goal::Faster { factor: Some(2.5) }]);
    assert_eq!(
        goals("We grow 10 % a month. Forecast the next 6 months"),
        [Goal::Growth { by: 0.1, every_months: Some(1.0), months: Some(6) }, Goal::Forecast]
    );
    assert_eq!(
        goals("prepare for 2x traffic within $5,000 a month"),
        [budget(5000.0, "USD"), Goal::Growth { by: 1.0, every_months: None, months: None }]
    );
    assert_eq!(goals("Reduce latency by 50%"), [Goal::Faster { factor: Some(2.0) }]);
    assert_eq!(
        goals("Traffic will grow 20% per month for a year"),
        [Goal::Growth { by: 0.2, every_months: Some(1.0), months: Some(12) }]
    );
    assert_eq!(goals("halve our bill"), [Goal::CutCost { by: Some(0.5) }]);
    assert_eq!(goals("Can we stay under 60k USD a year?"), [budget(5000.0, "USD")]);
}

#[test]
fn plain_questions_state_their_goals() {
    for (text, goal) in [
        ("why is my bill so high?", Goal::WhereTokensGo),
        ("Is our prompt caching working?", Goal::AuditCaching),
        ("What happens if traffic triples?", Goal::Growth { by: 2.0, every_months: None, months: None }),
    ] {
        assert_eq!(goals(text), [goal], "{text}");
    }
    assert_eq!(goals("Can I get the same results for less money?"), [Goal::SameQuality, Goal::CutCost { by: None }]);
    assert_eq!(
        goals("Can we halve the spend and keep response times?"),
        [Goal::CutCost { by: Some(0.5) }, Goal::SameLatency]
    );
}

#[test]
fn models_are_matched_by_their_whole_name() {
    let question = Question::parse("Compare gpt-4o with gpt-4o-mini.", &PriceTable::shipped());
    assert_eq!(question.models, ["gpt-4o", "gpt-4o-mini"]);
    assert!(question.has_goal(|goal| matches!(goal, Goal::CompareModels { models } if models.len() == 2)));
    assert_eq!(Question::parse("we run gpt-4.1.", &PriceTable::shipped()).models, ["gpt-4.1"]);
}

#[test]
fn a_question_without_a_known_goal_has_none() {
    for (text, unclear) in [("Hello there", true), ("What is the weather?", true), ("", false), ("analyse this", false)]
    {
        let question = Question::parse(text, &PriceTable::shipped());
        assert_eq!((question.goals.len(), question.unclear), (0, unclear), "{text}");
    }
    let question = Question::parse("Which user costs the most, and what is the weather?", &PriceTable::shipped());
    assert_eq!(
        (question.goals.len(), question.not_understood.as_slice()),
        (1, ["what is the weather".to_owned()].as_slice())
    );
}

#[test]
fn conflicting_goals_are_noted() {
    let question = Question::parse(
        "Cut cost at the same quality, make it 2x faster, and use batch prices",
        &PriceTable::shipped(),
    );
    assert_eq!(question.conflicts.len(), 3, "{question:?}");
}

#[test]
fn growth_is_stated_as_the_question_asks_it() {
    let week = 7.0 / 30.0;
    for (text, by, every, label) in [
        ("Our traffic doubles every quarter", 1.0, 3.0, "100 % more traffic each quarter"),
        ("We grow 10 % a week", 0.1, week, "10 % more traffic each week"),
        ("Usage triples every year", 2.0, 12.0, "200 % more traffic each year"),
        ("Traffic doubles every 6 months. What will it cost in 2 years?", 1.0, 6.0, "traffic every 6 months for 24"),
    ] {
        let question = Question::parse(text, &PriceTable::shipped());
        let months = text.contains("2 years").then_some(24);
        assert_eq!(question.growth(), Some((by, Some(every), months)), "{text}");
        let labels: Vec<String> = question.goals.iter().map(|(goal, _)| goal.label()).collect();
        assert!(labels[0].contains(label), "{text}: {labels:?}");
    }
}

#[test]
fn a_percentage_belongs_to_the_goal_beside_it() {
    assert_eq!(
        goals("cut cost by 30 % and halve latency"),
        [Goal::CutCost { by: Some(0.3) }, Goal::Faster { factor: Some(2.0) }]
    );
    assert_eq!(Goal::Faster { factor: Some(1.0 / 0.7) }.label(), "be 1.43 times faster");
    assert_eq!(goals("save $1"), [Goal::CutCost { by: None }]);
    assert_eq!(goals("cut our cost to $3 a month"), [budget(3.0, "USD")]);
    assert_eq!(goals("Is it cheaper to self host?"), []);
}

#[test]
fn model_names_may_be_written_with_spaces() {
    let models = |text: &str| Question::parse(text, &PriceTable::shipped()).models;
    assert_eq!(models("compare gpt-4.1 with claude sonnet 4.5"), ["gpt-4.1", "claude-sonnet-4-5"]);
    assert_eq!(models("What would it cost on GPT 4.1 mini?"), ["gpt-4.1-mini"]);
    assert_eq!(models("gpt-4.1 mini or claude-sonnet-4.5?"), ["gpt-4.1-mini", "claude-sonnet-4-5"]);
    assert_eq!(models("is the claude bill 5 times higher?"), [""; 0]);
}

#[test]
fn speed_and_spend_are_told_apart() {
    assert_eq!(goals("halve latency without paying more"), [Goal::Faster { factor: Some(2.0) }, Goal::SameSpend]);
    assert_eq!(goals("Can we stay within €500 a month?"), [budget(500.0, "EUR")]);
    assert_eq!(goals("We have 1.5k CHF a quarter"), [budget(500.0, "CHF")]);
    assert_eq!(
        goals("Can we stay within $80 a month if our traffic doubles every quarter?"),
        [budget(80.0, "USD"), Goal::Growth { by: 1.0, every_months: Some(3.0), months: None }]
    );
    assert_eq!(goals("What if we use flex?"), [Goal::ServiceTier { tier: Tier::Flex }]);
}

#[test]
fn another_model_is_compared_and_an_unknown_one_is_named() {
    let question = Question::parse("What would it cost on claude-sonnet-4-5?", &PriceTable::shipped());
    assert!(
        question.has_goal(|goal| matches!(goal, Goal::CompareModels { models } if models == &["claude-sonnet-4-5"]))
    );
    let question = Question::parse("What would it cost on llama-99-turbo?", &PriceTable::shipped());
    assert_eq!(question.unknown_models, ["llama-99-turbo"]);
    assert!(question.has_goal(|goal| matches!(goal, Goal::CompareModels { .. })));
}

#[test]
fn questions_for_figures_state_measure_form_and_dimension() {
    use super::query::{Dimension, Form, Measure, Part};
    let column = |name: &str| Some(Dimension::Column(name.into()));
    let ranked = |top| Form::Ranked { top, lowest: false };
    for (text, measure, form, by) in [
        ("Which user costs the most?", Measure::Cost, ranked(None), column("user")),
        ("Who spends the most?", Measure::Cost, ranked(None), column("user")),
        ("top 5 teams", Measure::Cost, ranked(Some(5)), column("team")),
        ("show me the 3 most expensive customers", Measure::Cost, ranked(Some(3)), column("customer")),
        ("cost by project", Measure::Cost, Form::Listed, column("project")),
        ("Which cost center spent the most?", Measure::Cost, ranked(None), column("cost center")),
        ("Which model is the most expensive?", Measure::Cost, ranked(None), Some(Dimension::Model)),
        ("Which model is the slowest?", Measure::Latency, ranked(None), Some(Dimension::Model)),
        ("Which day was dearest?", Measure::Cost, ranked(None), Some(Dimension::Day)),
        ("which hour costs least", Measure::Cost, Form::Ranked { top: None, lowest: true }, Some(Dimension::Hour)),
        ("How many requests failed?", Measure::Failures, Form::Total, None),
        ("What did failed requests cost?", Measure::Cost, Form::Total, None),
        ("failure rate by model", Measure::Failures, Form::Share, Some(Dimension::Model)),
        ("How much did we spend last week?", Measure::Cost, Form::Total, None),
        ("How many tokens did gpt-4.1 use?", Measure::Tokens, Form::Total, None),
        ("What is our p95 latency?", Measure::Latency, Form::Percentile(95), None),
        ("What is the time to first token?", Measure::FirstToken, Form::Total, None),
        ("average cost per request", Measure::Cost, Form::Mean, None),
        ("What is the average cost per user?", Measure::Cost, Form::MeanOfValues, column("user")),
        ("cost per session", Measure::Cost, Form::Listed, column("session")),
        ("What share is output?", Measure::TokensOf(Part::Output), Form::Share, None),
        ("How much do we spend on reasoning?", Measure::CostOf(Part::Reasoning), Form::Total, None),
        ("embeddings vs chat", Measure::Cost, Form::Listed, Some(Dimension::Kind)),
        ("cached share by day", Measure::TokensOf(Part::Cached), Form::Share, Some(Dimension::Day)),
        ("How many users are there?", Measure::Distinct, Form::Total, column("user")),
        ("Which hours are the busiest?", Measure::Requests, ranked(None), Some(Dimension::Hour)),
        ("What is the most expensive request?", Measure::Cost, Form::Largest, None),
        ("How many embeddings did we make?", Measure::Requests, Form::Total, None),
        ("Show me the weekly cost", Measure::Cost, Form::Listed, Some(Dimension::Week)),
        ("How many requests per day?", Measure::Requests, Form::Listed, Some(Dimension::Day)),
    ] {
        let question = Question::parse(text, &PriceTable::shipped());
        let query = question.queries().next().unwrap_or_else(|| panic!("{text}: {:?}", question.goals));
        assert_eq!((query.measure, query.form, query.by.clone()), (measure, form, by), "{text}");
        assert_eq!(question.goals.len(), 1, "{text}: {:?}", question.goals);
        assert!(!question.unclear && question.not_understood.is_empty(), "{text}: {question:?}");
    }
}
