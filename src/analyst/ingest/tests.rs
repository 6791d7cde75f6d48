use std::io::Write;

use super::*;

fn log(text: &str) -> UsageLog {
    read(text.as_bytes(), &|| false).expect("a readable log")
}

fn refusal(bytes: &[u8]) -> String {
    read(bytes, &|| false).expect_err("a refusal").to_string()
}

#[test]
fn the_azure_format_is_read_with_milliseconds() {
    let log = log(
        "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,4808,10\r\n2023-11-16 18:17:04.0319600,3180,8\r\n",
    );
    assert_eq!(log.data.time_ms, [1_700_158_623_979, 1_700_158_624_031]);
    assert_eq!((log.data.input.as_slice(), log.data.output.as_slice()), ([4808, 3180].as_slice(), [10, 8].as_slice()));
    assert!(!log.data.present().model && !log.data.present().cached);
    assert_eq!(log.report.bad_rows, 0);
}

#[test]
fn openai_usage_objects_are_read_with_their_cached_tokens() {
    let chat = r#"{"id":"a","object":"chat.completion","created":1700136000,"model":"gpt-4o-2024-08-06","usage":{"prompt_tokens":2000,"completion_tokens":50,"prompt_tokens_details":{"cached_tokens":1024}},"choices":[{"message":{"model":"no"}}]}"#;
    let nested = r#"{"response":{"body":{"created_at":1700136060,"model":"gpt-4o","usage":{"input_tokens":10,"output_tokens":5,"input_tokens_details":{"cached_tokens":0}}}}}"#;
    for (text, tokens, model, time) in [
        (chat, (2000, 50, 1024), "gpt-4o-2024-08-06", 1_700_136_000_000),
        (nested, (10, 5, 0), "gpt-4o", 1_700_136_060_000),
    ] {
        let data = log(text).data;
        assert_eq!((data.input[0], data.output[0], data.cached[0]), tokens, "{text}");
        assert_eq!((data.models[0].as_str(), data.time_ms[0]), (model, time), "{text}");
    }
}

#[test]
fn records_that_the_source_of_their_file_does_not_know_are_said_first() {
    let log = log(concat!(
        r#"{"id":"a","object":"chat.completion","created":1700136000,"model":"m","usage":{"prompt_tokens":20,"completion_tokens":5},"choices":[]}"#,
        "\n",
        r#"{"prompt_tokens":7,"completion_tokens":3}"#,
        "\n"
    ));
    assert_eq!((log.data.input.as_slice(), log.report.unknown.len()), ([20].as_slice(), 1), "{:?}", log.report);
}

#[test]
fn anthropic_input_tokens_get_their_cached_tokens_added_and_the_report_says_so() {
    let log = log(
        r#"{"model":"claude-sonnet-4-5","usage":{"input_tokens":100,"cache_read_input_tokens":900,"cache_creation_input_tokens":50,"output_tokens":7}}"#,
    );
    assert_eq!((log.data.input[0], log.data.cached[0], log.data.cache_write[0]), (1050, 900, 50));
    assert!(log.report.notes.iter().any(|note| note.contains("Anthropic")), "{:?}", log.report.notes);
}

#[test]
fn litellm_spend_logs_are_read_with_latency_from_start_and_end() {
    let log = log(
        "request_id,call_type,api_key,spend,total_tokens,prompt_tokens,completion_tokens,startTime,endTime,completionStartTime,model,user\n\
         r1,acompletion,k,0.00125,600,500,100,2024-05-01 10:00:00.500,2024-05-01 10:00:03.000,,gpt-4o,u\n",
    );
    assert_eq!(
        (log.data.input[0], log.data.output[0], log.data.latency_ms[0], log.data.cost[0]),
        (500, 100, 2500.0, 0.00125)
    );
    assert_eq!(log.report.files[0].source.as_deref(), Some("LiteLLM spend logs"));
}

#[test]
fn opentelemetry_attributes_are_read_flat_nested_and_as_an_otlp_export() {
    let flat = r#"{"name":"chat","startTimeUnixNano":"1700136000000000000","endTimeUnixNano":"1700136001500000000","attributes":{"gen_ai.request.model":"gpt-4o","gen_ai.response.model":"gpt-4o-2024-08-06","gen_ai.usage.input_tokens":120,"gen_ai.usage.output_tokens":30,"gen_ai.usage.cache_read.input_tokens":64}}"#;
    let nested = r#"{"start_time":"2023-11-16T12:00:00Z","attributes":{"gen_ai":{"request":{"model":"gpt-4o"},"usage":{"input_tokens":120,"output_tokens":30}}}}"#;
    let otlp = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"x"}}]},"scopeSpans":[{"spans":[{"spanId":"a1","name":"chat gpt-4o","startTimeUnixNano":"1700136000000000000","endTimeUnixNano":"1700136001500000000","attributes":[{"key":"gen_ai.request.model","value":{"stringValue":"gpt-4o"}},{"key":"gen_ai.usage.input_tokens","value":{"intValue":"120"}},{"key":"gen_ai.usage.output_tokens","value":{"intValue":30}}]},{"spanId":"a2","name":"GET /","attributes":[]}]}]}]}"#;
    for (text, model) in [(flat, "gpt-4o-2024-08-06"), (nested, "gpt-4o"), (otlp, "gpt-4o")] {
        let log = log(text);
        assert_eq!(
            (log.data.input[0], log.data.output[0], log.data.time_ms[0]),
            (120, 30, 1_700_136_000_000),
            "{text}"
        );
        assert_eq!(log.data.models[0], model);
    }
    assert_eq!((log(flat).data.latency_ms[0], log(flat).data.cached[0], log(flat).data.input[0]), (1500.0, 64, 120));
    assert_eq!(log(otlp).report.bad_rows, 0);
}

#[test]
fn separators_quotes_and_a_byte_order_mark_are_accepted() {
    for text in [
        "\u{feff}model,input_tokens,output_tokens,cost\n\"a,b\",10,5,0.5\n",
        "model;input_tokens;output_tokens;cost\n\"a,b\";10;5;0,5\n",
        "model\tinput_tokens\toutput_tokens\tcost\na,b\t10\t5\t$0.5\n",
        "\n\n\"model\",\"input_tokens\",\"output_tokens\",\"cost\"\r\n\"a,b\",\"10\",\"5\",\"0.5\"\r\n",
    ] {
        let log = log(text);
        assert_eq!(
            (log.data.input[0], log.data.output[0], log.data.cost[0], log.data.models[0].as_str()),
            (10, 5, 0.5, "a,b"),
            "{text}"
        );
    }
}

#[test]
fn bad_rows_are_counted_with_line_and_reason() {
    let log = log("input_tokens,output_tokens\n1,2\n-5,2\nx,2\n3\n4,5,6\n,7\n8,9\n");
    assert_eq!((log.report.rows, log.report.bad_rows), (2, 5));
    let lines: Vec<u64> = log.report.first_bad.iter().map(|bad| bad.line).collect();
    assert_eq!(lines, [3, 4, 5, 6, 7]);
    assert!(log.report.first_bad[0].reason.contains("negative"));
    assert_eq!(log.report.bad_by_reason.iter().map(|(_, n)| n).sum::<u64>(), 5);
}

#[test]
fn a_latency_without_a_unit_is_read_by_its_median_and_the_report_says_so() {
    let seconds = log("input_tokens,output_tokens,latency\n1,1,0.5\n1,1,2.5\n1,1,3\n");
    assert_eq!(seconds.data.latency_ms, [500.0, 2500.0, 3000.0]);
    let millis = log("input_tokens,output_tokens,latency\n1,1,500\n1,1,2500\n1,1,3000\n");
    assert_eq!(millis.data.latency_ms, [500.0, 2500.0, 3000.0]);
    assert!(millis.report.notes.iter().any(|note| note.contains("milliseconds")));
}

#[test]
fn unreadable_files_are_refused_with_what_was_found_and_what_to_do() {
    for (bytes, words) in [
        (b"".as_slice(), ["empty", "CSV"]),
        (b" \n\n".as_slice(), ["empty", "CSV"]),
        (b"input_tokens,output_tokens\n".as_slice(), ["no rows", "input_tokens"]),
        (b"user,text\nanna,hello\n".as_slice(), ["user, text", "prompt_tokens"]),
        (b"{\"user\":\"anna\"}\n".as_slice(), ["user", "prompt_tokens"]),
        (b"\x1f\x8b\x08\x00".as_slice(), ["unpacked", "again"]),
        (b"PK\x03\x04..".as_slice(), ["unpacked", "again"]),
        (b"\xff\xfeT\x00I\x00".as_slice(), ["no rows", "header"]),
        (b"\x7fELF\x00\x00\x01".as_slice(), ["binary", "CSV"]),
        (b"[{\"prompt_tokens\":1,}]".as_slice(), ["not valid JSON", "again"]),
        (b"[{\"prompt_tokens\":1},{\"prompt".as_slice(), ["cut off", "1 whole rows"]),
        (b"{\"prompt_tokens\":1,\"completion_tokens\":1}\n{\"prompt_tok".as_slice(), ["line 2", "cut off"]),
        (b"time,input_tokens,output_tokens\n1700000000,5,6\n17000".as_slice(), ["line 3", "cut off"]),
        (b"input_tokens,output_tokens\nx,1\ny,2\n".as_slice(), ["None of the 2 rows", "Line 2"]),
    ] {
        let message = refusal(bytes);
        for word in words {
            assert!(message.contains(word), "{message:?} lacks {word:?}");
        }
    }
}

#[test]
fn a_long_line_is_a_bad_row_and_the_rest_is_read() {
    let mut text = br#"{"prompt_tokens":1,"completion_tokens":1,"x":""#.to_vec();
    text.extend(std::iter::repeat_n(b'a', 9 * 1024 * 1024));
    text.extend(b"\"}\n{\"prompt_tokens\":2,\"completion_tokens\":3}\n");
    let log = read(&text, &|| false).expect("a readable log");
    assert_eq!((log.report.rows, log.report.bad_rows, log.data.input[0]), (1, 1, 2));
}

#[test]
fn reading_stops_when_the_stop_function_returns_true() {
    let mut text = String::from("input_tokens,output_tokens\n");
    text.extend(std::iter::repeat_n("1,2\n", 5000));
    assert!(matches!(read(text.as_bytes(), &|| true), Err(IngestError::Stopped)));
}

#[test]
fn a_file_is_read_from_disk() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    write!(file, "input_tokens,output_tokens\n1,2\n").expect("the file is written");
    assert_eq!(load(file.path(), &|| false).expect("a log").data.len(), 1);
    assert!(matches!(load(Path::new("/nonexistent/log.csv"), &|| false), Err(IngestError::Io(_))));
}

#[test]
fn an_overlong_row_is_refused() {
    let cases: [(&[u8], u8, &str); 4] = [
        (b"a,b", b',', "line 1"),
        (b"input_tokens", b'x', "line 1"),
        (b"input_tokens,output_tokens\n1,2\n", b'3', "line 3"),
        (b"input_tokens,output_tokens\n1,2\n1,\"", b'\n', "line 3"),
    ];
    for (head, byte, line) in cases {
        let mut bytes = head.to_vec();
        bytes.resize(6 << 20, byte);
        let refused = read(&bytes, &|| false).expect_err("a refusal");
        assert!(matches!(refused, IngestError::RowTooLong(_)) && refused.to_string().contains(line), "{refused}");
    }
}

#[test]
fn too_many_columns_are_refused() {
    let refused = refusal(format!("input_tokens{}\n", ",a".repeat(5_000)).as_bytes());
    assert!(refused.contains("5001 columns"), "{refused}");
    let log = log(&format!("input_tokens,output_tokens{}\n1,2{}\n", ",a".repeat(4_000), ",3".repeat(4_000)));
    assert_eq!(log.data.input, [1]);
}

#[test]
fn a_line_with_too_many_values_is_a_bad_row() {
    let text = format!("{{\"input_tokens\":1}}\n{{\"a\":[{}0]}}\n{{\"input_tokens\":2}}\n", "0,".repeat(1_100_000));
    let log = log(&text);
    assert_eq!((log.data.input.as_slice(), log.report.bad_rows), ([1, 2].as_slice(), 1));
    assert!(log.report.first_bad[0].reason.contains("values"), "{:?}", log.report.first_bad);
}

#[test]
fn arrays_pages_and_objects_over_several_lines_are_read() {
    let record = "{\n \"model\": \"m\",\n \"prompt_tokens\": 5,\n \"completion_tokens\": 2\n}";
    for text in [
        record.to_owned(),
        format!("[{record}]"),
        format!("{{\"object\": \"list\", \"data\": [{record}], \"has_more\": false}}"),
        format!("{{\"hits\": {{\"total\": 1, \"hits\": [{{\"_source\": {record}}}]}}}}"),
        format!("{{\"level\":\"info\",\"message\":{}}}\n", serde_json::Value::from(record)),
    ] {
        let log = log(&text);
        assert_eq!((log.data.input.as_slice(), log.data.output.as_slice()), ([5].as_slice(), [2].as_slice()), "{text}");
    }
    assert_eq!(log(&format!("{record}\n{record}\n")).data.input, [5, 5]);
}

#[test]
fn titles_above_the_header_and_rows_of_totals_are_left_out() {
    let text = "Usage report\nAugust\n\nmodel;input tokens;output tokens\na;1.000;10\nb;2.500;20\nTotal;3.500;30\n";
    let log = log(text);
    assert_eq!(log.data.input, [1000, 2500]);
    assert!(log.report.notes.iter().any(|note| note.contains("rows with totals")), "{:?}", log.report.notes);
    assert_eq!(self::log("sep=|\nmodel|input_tokens|output_tokens\na|1|2\n").data.input, [1]);
}

#[test]
fn a_missing_column_is_asked_for_with_a_preview() {
    let text = "Zeit,Eingabe,Ausgabe\n2026-01-31,10,5\n2026-01-31,20,6\n";
    let Err(IngestError::NeedsColumns(question)) = read(text.as_bytes(), &|| false) else { panic!("no question") };
    assert_eq!(question.roles, ["input", "output"]);
    assert_eq!(question.rows, [["2026-01-31", "10", "5"], ["2026-01-31", "20", "6"]]);
    let choice = ColumnChoice::parse("input=Eingabe,output=Ausgabe").expect("a choice");
    let mut reading = Reading::new(false);
    reading.add("log", &Input::from_bytes(text.as_bytes()).expect("text"), &choice, &|| false).expect("it is read");
    assert_eq!(reading.finish().expect("a log").data.input, [10, 20]);
}

#[test]
fn a_cost_that_cannot_be_read_loses_the_cost_and_not_the_row() {
    let log = log("input_tokens,output_tokens,cost\n1,2,free\n3,4,$0.5\n");
    assert_eq!((log.report.rows, log.report.bad_rows, log.data.cost(1)), (2, 0, Some((0.5, "USD"))));
    assert!(log.report.unknown.iter().any(|said| said.contains("cost of 1 row")), "{:?}", log.report);
}

#[test]
fn costs_keep_their_currency() {
    let log = log("input_tokens;output_tokens;Kosten (€)\n1;2;0,25\n3;4;1.234,50\n");
    assert_eq!([log.data.cost(0), log.data.cost(1)], [Some((0.25, "EUR")), Some((1234.5, "EUR"))]);
}

#[test]
fn dates_with_one_row_each_are_sums_of_a_day() {
    let log =
        log("date,model,input_tokens,output_tokens\n2026-01-01,a,9000,10\n2026-01-01,b,8000,5\n2026-01-02,a,7000,9\n");
    assert_eq!((log.data.present().sums, log.data.requests(), log.data.period_ms), (true, None, Some(86_400_000)));
    let requests = self::log("date,model,input_tokens,output_tokens\n2026-01-01,a,9,10\n2026-01-01,a,8,5\n");
    assert!(!requests.data.present().sums);
}

#[test]
fn a_date_and_a_time_of_day_in_two_columns_are_one_time() {
    let log = log("Date,Time,input_tokens,output_tokens\n31.01.2026,12:00:05,1,2\n01.02.2026,08:30:00,1,2\n");
    assert_eq!(log.data.time_ms, [1_769_860_805_000, 1_769_934_600_000]);
}

#[test]
fn a_count_that_would_overflow_the_sums_is_a_bad_row_wherever_it_stands() {
    let answers = |count: &str| {
        format!(
            "{{\"id\":\"a\",\"object\":\"chat.completion\",\"model\":\"m\",\"usage\":{{\"prompt_tokens\":{count},\"completion_tokens\":5}}}}\n\
             {{\"id\":\"b\",\"object\":\"chat.completion\",\"model\":\"m\",\"usage\":{{\"prompt_tokens\":3,\"completion_tokens\":5}}}}\n"
        )
    };
    let requests = |count: &str| {
        format!(
            "TimeGenerated,MetricName,Total,TimeGrain,Resource,ResourceProvider\n\
             2026-11-01T00:00:00Z,ProcessedPromptTokens,3,PT1M,A,MICROSOFT.COGNITIVESERVICES\n\
             2026-11-01T00:00:00Z,GeneratedTokens,5,PT1M,A,MICROSOFT.COGNITIVESERVICES\n\
             2026-11-01T00:00:00Z,AzureOpenAIRequests,{count},PT1M,A,MICROSOFT.COGNITIVESERVICES\n\
             2026-11-01T00:01:00Z,ProcessedPromptTokens,3,PT1M,A,MICROSOFT.COGNITIVESERVICES\n\
             2026-11-01T00:01:00Z,GeneratedTokens,5,PT1M,A,MICROSOFT.COGNITIVESERVICES\n\
             2026-11-01T00:01:00Z,AzureOpenAIRequests,1,PT1M,A,MICROSOFT.COGNITIVESERVICES\n"
        )
    };
    let table = |count: &str| format!("model,input_tokens,output_tokens\nm,{count},5\nn,3,5\n");
    let objects = |count: &str| {
        format!("{{\"input_tokens\":{count},\"output_tokens\":5}}\n{{\"input_tokens\":3,\"output_tokens\":5}}\n")
    };
    let large = "9".repeat(40);
    for count in ["18446744073709551615", "600000000000", &large] {
        for text in [answers(count), requests(count), table(count), objects(count)] {
            let log = read(text.as_bytes(), &|| false).expect("a readable log");
            assert_eq!((log.data.len(), log.report.bad_rows), (1, 1), "{text}: {:?}", log.report);
            assert_eq!((log.data.input[0], log.data.output[0]), (3, 5), "{text}");
        }
    }
}

#[test]
fn lists_of_cells_are_rows_of_a_table() {
    for text in [
        r#"{"columns":["model","input_tokens","output_tokens"],"rows":[["m",10,5],["m",50,10]]}"#,
        r#"{"columns":["model","input_tokens","output_tokens"],"index":[0,1],"data":[["m",10,5],["m",50,10]]}"#,
        r#"{"fields":[{"name":"model","type":"string"},{"name":"input_tokens"},{"name":"output_tokens"}],"rows":[["m","10","5"],["m","50","10"]]}"#,
        r#"[["model","input_tokens","output_tokens"],["m",10,5],["m",50,10]]"#,
    ] {
        let log = read(text.as_bytes(), &|| false).expect("a readable log");
        assert_eq!(
            (log.data.input.as_slice(), log.data.output.as_slice()),
            ([10, 50].as_slice(), [5, 10].as_slice()),
            "{text}"
        );
        assert_eq!((log.report.bad_rows, log.data.models.as_slice()), (0, ["m".to_owned()].as_slice()), "{text}");
    }
    let short = r#"{"columns":["model","input_tokens","output_tokens"],"rows":[["m",10,5],["m",50]]}"#;
    let log = read(short.as_bytes(), &|| false).expect("a readable log");
    assert_eq!((log.data.len(), log.report.bad_rows), (1, 1), "{:?}", log.report);
}

#[test]
fn reports_of_ccusage_have_their_times_in_each_of_its_versions() {
    let counts = r#""inputTokens":10,"outputTokens":5,"cacheCreationTokens":1,"cacheReadTokens":2,"totalTokens":18,"totalCost":0.5"#;
    for (list, time) in [
        ("daily", r#""date":"2026-01-02""#),
        ("daily", r#""agent":"all","period":"2026-01-02""#),
        ("sessions", r#""sessionId":"s","lastActivity":"2026-01-02""#),
        ("session", r#""period":"s","lastActivity":"2026-01-02""#),
    ] {
        let log = read(format!(r#"{{"{list}":[{{{time},{counts}}}],"totals":{{}}}}"#).as_bytes(), &|| false);
        let log = log.expect("a readable log");
        assert_eq!(log.report.files[0].source.as_deref(), Some("ccusage report"), "{list} {time}");
        assert_eq!((log.data.time(0), log.data.input[0]), (Some(1_767_312_000_000), 13), "{list} {time}");
        assert!(log.data.present().sums);
    }
}

#[test]
fn a_duration_or_time_that_would_overflow_is_left_out_and_its_row_counts() {
    // Before 1970, so that the start would be before the first time that an `i64` holds.
    let event = |duration: &str| {
        format!(
            r#"{{"timestamp":"1013-11-02T09:00:00Z","attributes":{{"event.name":"api_request","input_tokens":"10","output_tokens":"5","cache_read_tokens":"0","duration_ms":"{duration}"}},"resource":{{"attributes":{{"service.name":"claude-code"}}}}}}"#
        )
    };
    let benchmark = r#"{"backend":"vllm","model_id":"m","duration":1,"completed":1,"total_input_tokens":10,"total_output_tokens":5,"request_throughput":1,"input_lens":[10],"output_lens":[5],"ttfts":[0.1],"itls":[[0.1]],"start_times":[1e300],"errors":[""]}"#;
    for text in [event("587876300000574115440"), event("9223372036854775807"), benchmark.to_owned()] {
        let log = read(text.as_bytes(), &|| false).expect("a readable log");
        assert_eq!(
            (log.data.input.as_slice(), log.data.output.as_slice()),
            ([10].as_slice(), [5].as_slice()),
            "{text}"
        );
        assert!(log.report.notes.iter().any(|note| note.contains("years up to 9999")), "{text}: {:?}", log.report);
        assert!(log.data.time(0).is_none_or(|time| time < 0), "no start, but the end where it is known: {text}");
    }
}
