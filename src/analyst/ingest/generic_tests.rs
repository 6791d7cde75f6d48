//! How logs of no known source are read, as people and small tools write them.

use super::*;

fn log(text: &str) -> UsageLog {
    read(text.as_bytes(), &|| false).expect("a readable log")
}

#[test]
fn rows_that_are_left_out_are_said_before_all_figures() {
    let log = log("model,input_tokens,output_tokens\nm,1.5k,5\nm,300,5\n");
    assert!(log.report.unknown.iter().any(|said| said.contains("1 of 2 rows")), "{:?}", log.report);
    let with_remark = self::log("model,input_tokens,output_tokens\nm,10,5\nm,50,10\n\nExported by a tool\n");
    assert_eq!((with_remark.report.bad_rows, with_remark.report.unknown.len()), (0, 0), "{:?}", with_remark.report);
}

#[test]
fn rows_of_totals_are_left_out_wherever_their_label_stands() {
    for text in [
        "model,user,input_tokens,output_tokens\na,u,10,5\na,v,20,5\na,Subtotal,30,10\nb,u,30,5\nTotal,,60,15\n",
        "model,input_tokens,output_tokens\na,10,5\nb,50,10\nAll models,60,15\n",
        "model,input_tokens,output_tokens\na,10,5\nb,50,10\n,60,15\n",
        "|model|input_tokens|output_tokens|\n|---|---|---|\n|a|10|5|\n|b|50|10|\n",
        "feature,input_tokens,output_tokens\nsummary,10,5\nchat,50,10\n",
    ] {
        let data = log(text).data;
        assert_eq!((data.input.iter().sum::<u64>(), data.output.iter().sum::<u64>()), (60, 15), "{text}");
    }
}

#[test]
fn of_two_columns_of_input_the_one_that_says_something_is_read() {
    for cells in ["0,10,0,5\n0,50,0,10", "10,,5,\n,50,,10"] {
        let text = format!("input_tokens,prompt_tokens,output_tokens,completion_tokens\n{cells}\n");
        assert_eq!(log(&text).data.input, [10, 50], "{text}");
    }
    let differing = log("input_tokens,prompt_tokens,output_tokens\n10,11,5\n");
    assert!(differing.report.unknown.iter().any(|said| said.contains("prompt_tokens")), "{:?}", differing.report);
}

#[test]
fn failures_follow_from_what_their_column_states() {
    for (column, [failed, fine]) in [
        ("error", ["true", "false"]),
        ("error", ["Connection reset", ""]),
        ("is_error", ["1", "0"]),
        ("success", ["0", "1"]),
        ("success", ["false", "true"]),
        ("status", ["429", "200"]),
    ] {
        let text = format!("model,input_tokens,output_tokens,{column}\nm,10,5,{failed}\nm,50,10,{fine}\n");
        let data = log(&text).data;
        assert_eq!([data.failed(0), data.failed(1)], [Some(true), Some(false)], "{column} {failed} {fine}");
        assert!(data.group("status").is_some(), "{column}");
    }
    let failed = log(
        "{\"status\":\"ok\",\"prompt_tokens\":1,\"completion_tokens\":1}\n{\"status\":\"error\",\"usage\":null}\n{\"level\":\"info\"}\n",
    );
    assert_eq!((failed.data.failed(1), failed.report.bad_rows), (Some(true), 0), "{:?}", failed.report);
}

#[test]
fn rows_of_hours_weeks_and_months_are_sums() {
    for (name, [first, second], start) in [
        ("hour", ["2026-01-01 00:00", "2026-01-01 01:00"], 1_767_225_600_000),
        ("month", ["2026-01", "2026-02"], 1_767_225_600_000),
        ("week", ["2026-W01", "2026-W02"], 1_766_966_400_000),
    ] {
        let log = log(&format!("{name},model,input_tokens,output_tokens\n{first},m,100,5\n{second},m,100,5\n"));
        assert_eq!((log.data.present().sums, log.data.time(0)), (true, Some(start)), "{name}");
    }
    let numbered = log("hour,model,input_tokens,output_tokens\n13,m,100,5\n14,m,100,5\n");
    assert!(!numbered.data.present().time, "an hour of a day is no time");
}

#[test]
fn dates_of_spreadsheets_are_read() {
    let log = log("Date,input_tokens,output_tokens\n46053.5,10,5\n46054.25,50,10\n");
    assert_eq!(log.data.time_ms, [1_769_860_800_000, 1_769_925_600_000]);
    assert_eq!(self::log("ts,input_tokens,output_tokens\n0.5,1,1\n46053.5,1,1\n").data.time_ms, [500, 46_053_500]);
}

#[test]
fn names_in_windows_1252_keep_their_currency() {
    let log =
        read(b"input_tokens;output_tokens;Kosten (\x80);Team\n1;2;0,25;M\xfcller\n1;2;0,5;M\xfcller\n", &|| false);
    let log = log.expect("a readable log");
    assert_eq!(log.data.cost(0), Some((0.25, "EUR")));
    assert_eq!(log.data.group("team").and_then(|group| group.value(0)), Some("Müller"));
}

#[test]
fn parts_beside_input_and_output_are_added_or_the_doubt_is_said() {
    let reasoning = log("input_tokens,output_tokens,reasoning_tokens\n100,10,500\n100,20,0\n");
    assert_eq!(reasoning.data.output, [510, 20]);
    let doubtful = log("input_tokens,cache_read_tokens,output_tokens\n100,50,10\n");
    assert!(doubtful.report.unknown.iter().any(|said| said.contains("cached")), "{:?}", doubtful.report);
    let certain = log("prompt_tokens,cached_tokens,completion_tokens\n100,50,10\n");
    assert!(certain.report.unknown.is_empty(), "{:?}", certain.report);
    let uncached = log("input_cached_tokens,input_uncached_tokens,output_tokens\n900,100,10\n");
    assert_eq!((uncached.data.input[0], uncached.data.cached[0]), (1000, 900));
}

#[test]
fn costs_whose_decimals_are_not_certain_are_said() {
    let log = log("input_tokens;output_tokens;cost\n10;5;1.234\n50;10;2.345\n");
    assert_eq!((log.data.cost(0), log.report.unknown.len()), (Some((1.234, "USD")), 1), "{:?}", log.report);
}

#[test]
fn costs_of_claude_codes_sessions_are_said_beside_its_messages() {
    let log = log(concat!(
        r#"{"type":"assistant","session_id":"s","message":{"id":"a","role":"assistant","model":"m","usage":{"input_tokens":10,"output_tokens":5}}}"#,
        "\n",
        r#"{"type":"result","subtype":"success","session_id":"s","total_cost_usd":0.25,"usage":{"input_tokens":10,"output_tokens":5}}"#,
        "\n"
    ));
    assert!(log.report.unknown.iter().any(|said| said.contains("$0.2500")), "{:?}", log.report);
}

#[test]
fn rows_that_share_an_id_and_differ_are_said() {
    let shared = log("request_id,input_tokens,output_tokens\nbatch,10,5\nbatch,50,10\nbatch,20,7\n");
    assert!(shared.report.unknown.iter().any(|said| said.contains("2 rows")), "{:?}", shared.report);
    let retried = log("request_id,status,input_tokens,output_tokens\na,500,10,0\na,200,10,5\n");
    assert!(retried.report.unknown.is_empty(), "{:?}", retried.report);
}

#[test]
fn counts_and_costs_that_are_not_read_are_said() {
    for (text, word) in [
        ("model,input_tokens,output_tokens\nm,10,5\nm,50,\n", "missing in 1 row"),
        ("model,input_tokens,output_tokens,input_cost,output_cost\nm,10,5,1,2\n", "`input_cost`"),
    ] {
        let log = log(text);
        assert!(log.report.unknown.iter().any(|said| said.contains(word)), "{text}: {:?}", log.report);
    }
}

#[test]
fn rows_of_means_and_repeated_headers_are_no_requests() {
    for text in [
        "date,model,input_tokens,output_tokens\n2026-01-01,m,10,5\n2026-01-02,m,50,9\nAverage,,30,7\n",
        "date,model,input_tokens,output_tokens\n2026-01-01,m,10,5\ndate,model,input_tokens,output_tokens\n2026-01-02,m,50,9\n",
    ] {
        let log = log(text);
        assert_eq!((log.data.input.as_slice(), log.report.bad_rows), ([10, 50].as_slice(), 0), "{text}");
    }
}

#[test]
fn spans_of_a_table_that_sum_up_others_are_left_out() {
    let log = log("trace_id,span_id,parent_span_id,input_tokens,output_tokens\nt,a,,60,15\nt,b,a,10,5\nt,c,a,50,10\n");
    assert_eq!(log.data.input, [10, 50]);
}

#[test]
fn latencies_may_have_their_unit_in_the_cell() {
    let log = log("input_tokens,output_tokens,latency\n10,50,1.2s\n50,100,850 ms\n");
    assert_eq!(log.data.latency_ms, [1200.0, 850.0]);
}

#[test]
fn a_date_and_an_hour_are_the_beginning_of_a_period() {
    let log =
        log("date,hour,model,input_tokens,output_tokens\n2026-01-01,10,m,10000,500\n2026-01-01,11,m,50000,1000\n");
    assert_eq!((log.data.time_ms[0], log.data.present().sums), (1_767_261_600_000, true));
    let full = self::log("date,time,input_tokens,output_tokens\n2026-01-01,2026-01-01T10:00:00Z,10,5\n");
    assert_eq!(full.data.time_ms, [1_767_261_600_000]);
}

#[test]
fn an_id_that_stands_for_none_does_not_repeat() {
    let log = log("request_id,input_tokens,output_tokens\nunknown,10,5\nunknown,10,5\n0,10,5\n0,10,5\n");
    assert_eq!(log.data.len(), 4);
}

#[test]
fn decimals_of_counts_and_decimal_commas_are_told_from_thousands_and_separators() {
    for (text, input) in [
        ("model,input_tokens,output_tokens,temperature\nm,10.000,5.000,0.7\nm,50.000,10.000,0.7\n", [10, 50]),
        ("model;input_tokens;output_tokens\nm;10.000;5\nm;50.000;10\n", [10_000, 50_000]),
        ("model;input_tokens;output_tokens\nm;10,0;5,0\nm;50,0;10,0\n", [10, 50]),
    ] {
        assert_eq!(log(text).data.input, input, "{text}");
    }
}

#[test]
fn thoughts_stand_beside_the_candidates_of_gemini() {
    let log = log("prompt_token_count,candidates_token_count,thoughts_token_count\n10,500,100\n");
    assert_eq!((log.data.output[0], log.data.reasoning[0]), (600, 100));
}

#[test]
fn costs_that_do_not_follow_from_tokens_are_prices_of_a_unit_and_are_not_counted() {
    let rows = |costs: [&str; 5]| {
        let tokens = [100, 900, 5_000, 50, 20_000];
        let rows: Vec<String> =
            (0..5).map(|i| format!("2026-01-01T10:0{i}:00Z,m,{},{},{}", tokens[i], tokens[i] / 2, costs[i])).collect();
        log(&format!("time,model,input_tokens,output_tokens,price\n{}\n", rows.join("\n")))
    };
    let prices = rows(["2.5"; 5]);
    assert!(!prices.data.present().cost && prices.data.cost(0).is_none());
    assert!(prices.report.unknown.iter().any(|said| said.contains("prices of a unit")), "{:?}", prices.report);
    let costs = rows(["0.1", "0.9", "5", "0.05", "20"]);
    assert_eq!(costs.data.cost(1).map(|(cost, _)| cost), Some(0.9));
    // A local model costs nothing, whatever its tokens.
    assert!(rows(["0"; 5]).data.present().cost);
}

#[test]
fn rows_without_time_and_id_are_sums_if_they_are_large_and_it_is_said_if_they_may_be() {
    let of = |rows: &str| log(&format!("model,user,input_tokens,output_tokens\n{rows}\n"));
    let large = of("m,ada,2400000,80000\nm,ben,900000,41000\nn,ada,300000,9000");
    assert!(large.data.present().sums && large.data.requests().is_none());
    assert!(large.report.notes.iter().any(|note| note.contains("sum of requests")), "{:?}", large.report);
    let small = of("m,ada,2400,80\nm,ben,900,41\nn,ada,300,9");
    assert!(!small.data.present().sums);
    assert!(small.report.unknown.iter().any(|said| said.contains("sum of several")), "{:?}", small.report);
    let requests = of("m,ada,2400,80\nm,ada,900,41\nn,ada,300,9");
    assert!(requests.report.unknown.is_empty() && !requests.data.present().sums, "{:?}", requests.report);
    let answer =
        log("time,model,input_tokens,output_tokens\n2026-01-01T10:00:00Z,m,10,3000000\n2026-01-01T11:00:00Z,m,9,5\n");
    assert!(answer.data.present().sums, "no model writes so much");
}
