//! Properties that hold for any log.

use netra::analyst::report;
use proptest::strategy::Strategy;

use super::*;

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    /// Any bytes give an error, or every row is either used or counted as bad.
    #[test]
    fn no_file_makes_the_reader_panic(
        head in proptest::sample::select(vec!["", "input_tokens,output_tokens,time,latency\n", "{\"prompt_tokens\":", "\u{feff}model;spend;prompt_tokens\n"]),
        body in "[ -~\n\t\"{}\\[\\],;:0-9äé\u{0}]{0,200}",
    ) {
        match ingest::read((head.to_owned() + &body).as_bytes(), &|| false) {
            Ok(log) => {
                proptest::prop_assert_eq!(log.report.rows, log.data.len() as u64);
                let by_reason: u64 = log.report.bad_by_reason.iter().map(|(_, count)| count).sum();
                proptest::prop_assert_eq!(log.report.bad_rows, by_reason);
                let analysis = Analysis::compute("log", &body, &log, &PriceTable::shipped(), &|| false).expect("not stopped");
                proptest::prop_assert!(analysis.profile.cost.is_finite());
            }
            Err(error) => proptest::prop_assert!(error.to_string().len() > 20),
        }
    }

    /// Savings are between zero and the whole cost, for each option and for all together.
    #[test]
    fn savings_are_between_zero_and_the_whole_cost(
        rows in proptest::collection::vec((0u32..50_000, 0u32..4_000, 0u32..100, 0usize..3), 1..200),
    ) {
        let mut text = String::from("model,input_tokens,output_tokens,cached_tokens\n");
        for (input, output, cached, model) in rows {
            let model = ["gpt-4.1", "claude-sonnet-4-5", "unheard-of"][model];
            text += &format!("{model},{input},{output},{}\n", input * cached / 100);
        }
        let log = ingest::read(text.as_bytes(), &|| false).expect("a readable log");
        let analysis = Analysis::compute("log", "Use batch prices and cut cost", &log, &PriceTable::shipped(), &|| false).expect("not stopped");
        let base = analysis.savings.base_usd + 1e-9;
        for option in &analysis.savings.options {
            proptest::prop_assert!((0.0..=base).contains(&option.saving_usd), "{:?}", option);
        }
        proptest::prop_assert!((0.0..=base).contains(&analysis.savings.together_usd));
    }

    /// A table has the same totals whatever the order of its columns and its delimiter.
    #[test]
    fn any_order_of_columns_and_any_delimiter_give_the_same_totals(
        requests in requests(),
        order in proptest::prelude::Just([0, 1, 2, 3, 4, 5]).prop_shuffle(),
        delimiter in proptest::sample::select(vec![",", ";", "\t", "|"]),
    ) {
        let plain = totals(&table(&requests, &[0, 1, 2, 3, 4, 5], ","));
        proptest::prop_assert_eq!(totals(&table(&requests, &order, delimiter)), plain);
    }

    /// A line that is there twice counts once, if it has the id of its request.
    #[test]
    fn duplicated_lines_give_the_same_totals(requests in requests(), again in proptest::collection::vec(0usize..100, 1..20)) {
        let plain = table(&requests, &[0, 1, 2, 3, 4, 5], ",");
        let lines: Vec<&str> = plain.lines().skip(1).collect();
        let repeated: String = again.iter().map(|at| format!("{}\n", lines[at % lines.len()])).collect();
        proptest::prop_assert_eq!(totals(&(plain.clone() + &repeated)), totals(&plain));
    }

    /// The order of the lines changes no word of the report.
    #[test]
    fn shuffled_lines_give_the_same_report(requests in requests().prop_flat_map(|requests| {
        (proptest::prelude::Just(requests.clone()), proptest::prelude::Just(requests).prop_shuffle())
    })) {
        let (requests, shuffled) = requests;
        let report = |requests: &[Request]| {
            let log = ingest::read(table(requests, &[0, 1, 2, 3, 4, 5], ",").as_bytes(), &|| false).expect("a readable log");
            let analysis = Analysis::compute("log", "", &log, &PriceTable::shipped(), &|| false).expect("not stopped");
            report::markdown(&analysis)
        };
        proptest::prop_assert_eq!(report(&shuffled), report(&requests));
    }
}

/// Minute, model, input, share of it that is cached in percent, output.
type Request = (u32, usize, u32, u32, u32);

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let request = (1u32..10_000, 0usize..3, 0u32..50_000, 0u32..100, 0u32..4_000);
    proptest::collection::vec(request, 2..60).prop_map(|mut requests| {
        // Requests of one minute stand in the order of the file, which a shuffled file does not keep.
        requests.sort();
        requests.dedup_by_key(|request| request.0);
        requests
    })
}

/// The requests as a table with the columns in this order.
fn table(requests: &[Request], order: &[usize; 6], delimiter: &str) -> String {
    let header = ["request_id", "timestamp", "model", "input_tokens", "cached_tokens", "output_tokens"];
    let line = |cells: [String; 6]| {
        let cells: Vec<&str> = order.iter().map(|at| cells[*at].as_str()).collect();
        cells.join(delimiter) + "\n"
    };
    let mut text = line(header.map(String::from));
    for (minute, model, input, cached, output) in requests {
        text += &line([
            format!("r{minute}"),
            (1_767_225_600 + u64::from(*minute) * 60).to_string(),
            ["gpt-4.1", "claude-sonnet-4-5", "unheard-of"][*model].into(),
            input.to_string(),
            (input * cached / 100).to_string(),
            output.to_string(),
        ]);
    }
    text
}

/// Requests and tokens of a log: input, cached, output.
fn totals(text: &str) -> (Option<u64>, u64, u64, u64) {
    let data = ingest::read(text.as_bytes(), &|| false).expect("a readable log").data;
    let sum = |column: &[u64]| column.iter().sum();
    (data.requests(), sum(&data.input), sum(&data.cached), sum(&data.output))
}
