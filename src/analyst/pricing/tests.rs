//! Costs are computed in Python from the cost map itself, with the formula of each case: tokens times the rates named beside it.

use super::{cheaper::CHEAPER_MODELS, *};
use crate::analyst::dataset::{Kind, Row};

/// Input, cached, cache writes, those of an hour, output, reasoning, audio in, audio out.
fn tokens(counts: [u32; 8]) -> Tokens {
    let [input, cached, cache_write, cache_write_1h, output, reasoning, audio_input, audio_output] =
        counts.map(f64::from);
    Tokens {
        input,
        cached,
        cache_write,
        cache_write_1h,
        output,
        reasoning,
        audio_input,
        audio_output,
        ..Tokens::default()
    }
}

#[test]
fn requests_cost_what_the_cost_map_says() {
    use Tier::{Batch, Flex, Priority, Standard};
    let table = PriceTable::shipped();
    for (model, tier, counts, cost) in [
        // 60,000 at input + 40,000 at cache_read + 2,000 at output
        ("gpt-4.1", Standard, [100_000, 40_000, 0, 0, 2_000, 0, 0, 0], 0.156),
        // 2,000 input + 55,000 cache_read + 3,000 cache_creation + 2,000 cache_creation_above_1hr + 800 output
        ("claude-sonnet-4-5-20250929", Standard, [62_000, 55_000, 5_000, 2_000, 800, 0, 0, 0], 0.057_75),
        // 5,000 input + 20,000 cache_creation + 500 output
        ("gpt-5.6", Standard, [25_000, 0, 20_000, 0, 500, 0, 0, 0], 0.13),
        // At 200,000 tokens the lower rates, above it the higher ones for all tokens.
        ("gemini-2.5-pro", Standard, [200_000, 0, 0, 0, 1_000, 0, 0, 0], 0.26),
        ("gemini-2.5-pro", Standard, [200_001, 0, 0, 0, 1_000, 0, 0, 0], 0.515_002_5),
        ("gemini-2.5-pro", Standard, [250_000, 50_000, 0, 0, 1_000, 0, 0, 0], 0.5275),
        ("gemini-2.5-pro", Batch, [250_000, 0, 0, 0, 1_000, 0, 0, 0], 0.32),
        // xAI charges the higher rates from 200,000 tokens on.
        ("xai/grok-4.6", Standard, [199_999, 0, 0, 0, 0, 0, 0, 0], 0.399_998),
        ("xai/grok-4.6", Standard, [200_000, 0, 0, 0, 0, 0, 0, 0], 0.8),
        // 50,000 input + 100,000 cache_read + 500 output, all above 100,000
        ("claude-haiku-5-5", Standard, [150_000, 100_000, 0, 0, 500, 0, 0, 0], 0.031_25),
        // tiered_pricing, its range from 32,000 to 128,000
        ("dashscope/qwen3-coder-flash", Standard, [50_000, 0, 0, 0, 2_000, 0, 0, 0], 0.03),
        // 6,000 input_flex + 4,000 cache_read_flex + 1,000 output_flex
        ("gpt-5.6", Flex, [10_000, 4_000, 0, 0, 1_000, 0, 0, 0], 0.0228),
        ("gpt-5.6", Priority, [300_000, 0, 0, 0, 1_000, 0, 0, 0], 4.86),
        // gpt-5.4 has no priority rates above 272,000: the standard ones apply there.
        ("gpt-5.4", Priority, [300_000, 0, 0, 0, 1_000, 0, 0, 0], 1.5225),
        // 6,000 input_batches + 4,000 at half of cache_creation_above_1hr + 1,000 output_batches
        ("claude-sonnet-5-5", Batch, [10_000, 0, 4_000, 4_000, 1_000, 0, 0, 0], 0.019),
        // The map has batch rates only for short prompts: times the ratio of long and short standard rates.
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", Batch, [250_000, 0, 0, 0, 1_000, 0, 0, 0], 0.837_375),
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", Standard, [10_000, 0, 0, 0, 1_000, 0, 0, 0], 0.0495),
        // 1,000 input + 1,000 output + 4,000 reasoning
        ("dashscope/qwen-plus-2025-07-14", Standard, [1_000, 0, 0, 0, 5_000, 4_000, 0, 0], 0.0176),
        // 1,000 input + 2,000 audio + 200 output + 800 audio output
        ("gpt-realtime", Standard, [3_000, 0, 0, 0, 1_000, 0, 2_000, 800], 0.1224),
        // 500 audio + 1,000 cache_read + 1,500 cache_read_audio: text comes from the cache before audio
        ("gpt-realtime", Standard, [3_000, 2_500, 0, 0, 1_000, 0, 2_000, 800], 0.0714),
        ("text-embedding-3-small", Standard, [1_000_000, 0, 0, 0, 0, 0, 0, 0], 0.02),
        // The map has no flex rates for this model: the standard ones.
        ("xai/grok-4.6", Flex, [1_000, 0, 0, 0, 0, 0, 0, 0], 0.002),
    ] {
        let price = table.get(model).unwrap_or_else(|| panic!("{model}"));
        let computed = price.cost_of(&tokens(counts), tier);
        assert!((computed - cost).abs() < 1e-9, "{model} {tier:?}: {computed}, not {cost}");
    }
    // 200 input + 300 image tokens + 4,000 output_image
    let images = Tokens { image_input: 300.0, image_output: 4_000.0, ..tokens([500, 0, 0, 0, 4_000, 0, 0, 0]) };
    let cost = table.get("gpt-image-1").expect("a price").cost_of(&images, Tier::Standard);
    assert!((cost - 0.164).abs() < 1e-9, "{cost}");
}

#[test]
fn names_in_logs_find_the_model_that_they_mean_or_none() {
    let table = PriceTable::shipped();
    for (name, provider, model) in [
        // As they are.
        ("gpt-4o-2024-05-13", None, Some("gpt-4o-2024-05-13")),
        ("GPT-4.1", None, Some("gpt-4.1")),
        ("claude-sonnet-4-5-20250929", None, Some("claude-sonnet-4-5-20250929")),
        ("gemini-2.5-flash", None, Some("gemini-2.5-flash")),
        ("deepseek/deepseek-chat", None, Some("deepseek/deepseek-chat")),
        // Providers in prefixes.
        ("openai/gpt-4o", None, Some("gpt-4o")),
        ("azure/eu/gpt-4.1-mini", None, Some("azure/eu/gpt-4.1-mini")),
        ("models/gemini-2.5-pro", None, Some("gemini/gemini-2.5-pro")),
        ("bedrock/us.anthropic.claude-opus-4-6-v1", None, Some("us.anthropic.claude-opus-4-6-v1")),
        ("bedrock/eu-central-1/amazon.nova-lite-v1:0", None, Some("amazon.nova-lite-v1:0")),
        ("bedrock/converse/eu.anthropic.claude-sonnet-5-5", None, Some("eu.anthropic.claude-sonnet-5-5")),
        (
            "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
            None,
            Some("eu.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ),
        ("projects/p/locations/global/publishers/google/models/gemini-2.5-pro", None, Some("gemini-2.5-pro")),
        ("litellm_proxy/claude-opus-5-5", None, Some("claude-opus-5-5")),
        // Providers in a column.
        ("gpt-4.1", Some("azure"), Some("azure/gpt-4.1")),
        ("gpt-4.1", Some("az.ai.openai"), Some("azure/gpt-4.1")),
        ("gpt-4.1", Some("openai"), Some("gpt-4.1")),
        ("claude-haiku-4-5", Some("aws.bedrock"), Some("anthropic.claude-haiku-4-5-20251001-v1:0")),
        ("gemini-2.5-pro", Some("gcp.gemini"), Some("gemini/gemini-2.5-pro")),
        ("mistral-large-2512", Some("mistral_ai"), Some("mistral/mistral-large-2512")),
        ("openai/gpt-oss-120b", Some("groq"), Some("groq/openai/gpt-oss-120b")),
        ("azure/gpt-4.1", Some("openai"), Some("azure/gpt-4.1")),
        // Regions and versions of AWS, Google's dates.
        ("us.anthropic.claude-opus-4-6-20260205-v1:0", None, Some("us.anthropic.claude-opus-4-6-v1")),
        ("amazon.nova-pro", None, Some("amazon.nova-pro-v1:0")),
        ("claude-sonnet-4-5@20250929", None, Some("vertex_ai/claude-sonnet-4-5@20250929")),
        // Snapshots that the table does not list.
        ("gpt-5.6-2026-07-01", None, Some("gpt-5.6")),
        ("claude-sonnet-5-5-20260901", None, Some("claude-sonnet-5-5")),
        // Forms of Claude's names, and effort.
        ("claude-4.5-sonnet-thinking", None, Some("claude-sonnet-4-5")),
        ("claude-4.5-opus-high-thinking", None, Some("claude-opus-4-5")),
        ("claude-opus-4-6[1m]", None, Some("claude-opus-4-6")),
        ("gpt-5.1-codex-max-high", None, Some("gpt-5.1-codex-max")),
        // Models that Anthropic no longer lists, at the price of the clouds.
        ("anthropic/claude-sonnet-4", None, Some("anthropic.claude-sonnet-4-20250514-v1:0")),
        ("claude-3-5-sonnet-20241022", None, Some("anthropic.claude-3-5-sonnet-20241022-v2:0")),
        // Names that only one vendor uses.
        ("grok-4.5", None, Some("xai/grok-4.5")),
        ("gpt-35-turbo", None, Some("azure/gpt-35-turbo")),
        // OpenRouter.
        ("anthropic/claude-sonnet-4.5", None, Some("claude-sonnet-4-5")),
        ("openrouter/anthropic/claude-sonnet-4.5:thinking", None, Some("claude-sonnet-4-5")),
        ("google/gemini-2.5-pro", Some("openrouter"), Some("gemini/gemini-2.5-pro")),
    ] {
        let found = table.find_at(name, provider).map(|price| price.model.as_str());
        assert_eq!(found, model, "{name} at {provider:?}");
    }
}

#[test]
fn names_without_a_price_of_their_own_find_none() {
    let table = PriceTable::shipped();
    for (name, provider) in [
        // Open models on someone's server.
        ("llama3.3:70b", None),
        ("mistral", None),
        ("qwen2.5-coder", None),
        ("gpt-oss:20b", None),
        ("meta-llama/Llama-3.3-70B-Instruct", None),
        ("mistralai/Mistral-7B-Instruct-v0.2", None),
        ("llama3.3:70b", Some("openai")),
        ("gpt-4o", Some("ollama")),
        ("hosted_vllm/gpt-4.1", None),
        // Snapshots of models whose snapshots cost differently.
        ("gpt-4o-2024-12-31", None),
        ("gpt-3.5-turbo-0613", None),
        // Other models of similar names.
        ("gpt-4o-audio", None),
        ("gpt-4.1-micro", None),
        ("gpt-5-high-fast", None),
        ("gemini-2.5-flash-preview-05-20", None),
        // Regions and deployments that the table does not have.
        ("azure/no/gpt-4.1", None),
        ("my-chat-deployment", Some("azure")),
        ("mars.anthropic.claude-sonnet-5-5", None),
        // OpenRouter: variants, and open models, whose host is not known.
        ("anthropic/claude-sonnet-4.5:online", None),
        ("deepseek/deepseek-chat", Some("openrouter")),
        ("openrouter/google/gemini-2.5-pro:free", None),
        // A fine-tuned model that costs more than its base.
        ("ft:gpt-9:org::1", None),
        ("auto", None),
        ("(others)", None),
        ("", None),
        ("/", Some("")),
    ] {
        let found = table.find_at(name, provider).map(|price| price.model.as_str());
        assert_eq!(found, None, "{name} at {provider:?}");
    }
}

#[test]
fn every_cheaper_model_is_in_the_shipped_table_and_cheaper_in_every_price() {
    let table = PriceTable::shipped();
    for (model, cheaper) in CHEAPER_MODELS {
        let matching =
            table.models().filter(|name| name.rsplit('/').next().is_some_and(|last| last.starts_with(model)));
        let own: Vec<&Price> = matching.filter_map(|name| table.get(name)).collect();
        let found = own.iter().find_map(|price| Some((price, table.cheaper_than(price)?)));
        let (price, found) = found.unwrap_or_else(|| panic!("{model} has no cheaper model in the table"));
        assert!(found.model.contains(cheaper), "{model}: {}", found.model);
        assert!(found.input < price.input && found.output <= price.output, "{model}");
        assert!(found.cached <= price.cached && found.cache_write <= price.cache_write, "{model}");
        assert!(found.cache_write_1h <= price.cache_write_1h, "{model}");
    }
}

#[test]
fn the_cheaper_model_is_of_the_same_provider_and_region() {
    let table = PriceTable::shipped();
    for (model, cheaper) in [
        ("gpt-4.1", Some("gpt-4.1-mini")),
        ("gpt-4.1-2025-04-14", Some("gpt-4.1-mini")),
        ("azure/gpt-4.1", Some("azure/gpt-4.1-mini")),
        ("azure/eu/gpt-4.1", Some("azure/eu/gpt-4.1-mini")),
        ("claude-opus-5-5", Some("claude-sonnet-5-5")),
        ("eu.anthropic.claude-opus-5-5", Some("eu.anthropic.claude-sonnet-5-5")),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", Some("us.anthropic.claude-haiku-4-5-20251001-v1:0")),
        // Above 200,000 tokens, Sonnet 4.5 costs more there.
        ("vertex_ai/claude-opus-4-5@20251101", None),
        ("vertex_ai/claude-opus-5-5@default", Some("vertex_ai/claude-sonnet-5-5")),
        ("gemini/gemini-2.5-pro", Some("gemini/gemini-2.5-flash")),
        ("amazon.nova-pro-v1:0", Some("amazon.nova-lite-v1:0")),
        ("gpt-4o-mini", None),
    ] {
        let price = table.get(model);
        assert_eq!(
            price.and_then(|price| table.cheaper_than(price)).map(|price| price.model.as_str()),
            cheaper,
            "{model}"
        );
    }
}

#[test]
fn the_shipped_table_is_the_cost_map_with_its_version_and_date() {
    let table = PriceTable::shipped();
    assert!(table.prices_count() > 3_000 && table.date.is_some(), "{}", table.prices_count());
    assert!(table.origin().starts_with("The cost map of LiteLLM 1."), "{}", table.origin());
    assert!(table.models().all(|name| !name.starts_with("azure/gpt-4")));
    // None is free only because its price is not in tokens.
    for name in ["ollama/llama3", "azure/model-router", "fireworks-ai-default"] {
        assert!(table.get(name).is_none(), "{name}");
    }
}

#[test]
fn a_price_file_of_another_format_is_refused_with_an_example() {
    let error = PriceTable::parse("[]", "x").expect_err("a refusal").to_string();
    assert!(error.contains("input_cost_per_token"), "{error}");
    assert!(matches!(PriceTable::parse("{}", "x"), Err(PriceError::NoModel)));
}

#[test]
fn a_price_file_has_all_fields_of_the_cost_map() {
    let text = r#"{
        "sample_spec": {"date": "2026-11-01", "source": "House prices", "input_cost_per_token": 0},
        "House-Model": {
            "input_cost_per_token": 1e-6, "output_cost_per_token": "2e-6", "output_cost_per_reasoning_token": 3e-6,
            "input_cost_per_token_above_128k_tokens": 4e-6, "input_cost_per_token_batches": 5e-7,
            "cache_creation_input_token_cost": 1.25e-6, "cache_creation_input_token_cost_above_1hr": 2e-6,
            "input_cost_per_audio_token": 9e-6, "input_cost_per_token_priority": 2e-6, "mode": "chat", "max_tokens": 5
        },
        "llama3.3:70b": {"input_cost_per_token": 1e-7, "output_cost_per_token": 2e-7, "litellm_provider": "ollama"},
        "picture": {"output_cost_per_image": 0.04}
    }"#;
    let table = PriceTable::parse(text, "own").expect("a table");
    assert_eq!(table.origin(), "House prices, taken 2026-11-01");
    let price = table.find("house-model").expect("a price");
    assert_eq!((price.cached, price.cache_write, price.cache_write_1h), (1e-6, 1.25e-6, 2e-6));
    // 1,000 input at 1e-6, 900 output at 2e-6 and 100 reasoning at 3e-6
    let short = price.cost_of(&tokens([1_000, 0, 0, 0, 1_000, 100, 0, 0]), Tier::Standard);
    assert!((short - 0.0031).abs() < 1e-12, "{short}");
    assert!((price.cost_of(&tokens([128_001, 0, 0, 0, 0, 0, 0, 0]), Tier::Standard) - 0.512_004).abs() < 1e-9);
    // Batches halve the rate for input, so also that for output; priority doubles both.
    assert_eq!(price.batch, Some((5e-7, 1e-6)));
    assert_eq!(price.rates(Tier::Priority, 0.0).output, 4e-6);
    assert_eq!(table.find_at("llama3.3:70b", Some("ollama")).map(|price| price.input), Some(1e-7));
    assert!(table.find("picture").is_none());
}

fn data(rows: &[Row<'_>]) -> Dataset {
    let mut data = Dataset::default();
    rows.iter().for_each(|row| data.push(row));
    data
}

#[test]
fn a_log_without_model_names_has_no_price_unless_the_question_names_a_model() {
    let table = PriceTable::shipped();
    let data = data(&[Row { input: Some(1_000), output: Some(10), ..Row::default() }]);
    let none = Pricing::for_dataset(&data, &table, None);
    assert!(!none.has_prices() && none.assumed.is_none() && none.cost(&data, 0) == 0.0);
    assert_eq!((none.missing[0].tokens, none.missing[0].share, none.missing_share()), (1_010, 1.0, 1.0));
    let named = Pricing::for_dataset(&data, &table, Some("gpt-4.1"));
    assert_eq!((named.assumed.as_deref(), named.missing.len()), (Some("gpt-4.1"), 0));
    // 1,000 at $2 and 10 at $8 a million
    assert!((named.cost(&data, 0) - 0.002_08).abs() < 1e-12);
}

#[test]
fn a_model_without_a_price_is_listed_with_its_requests_and_tokens_and_nothing_stands_in_for_it() {
    let row = |model, tokens| Row { model: Some(model), input: Some(tokens), ..Row::default() };
    let data =
        data(&[row("gpt-4.1", 300), row("llama3.3:70b", 100), row("openai/gpt-4.1", 500), row("llama3.3:70b", 100)]);
    let pricing = Pricing::for_dataset(&data, &PriceTable::shipped(), Some("gpt-5"));
    let missing = MissingPrice { model: "llama3.3:70b".into(), requests: 2, tokens: 200, share: 0.2 };
    assert_eq!((&pricing.missing, pricing.assumed.as_deref()), (&vec![missing], None));
    assert_eq!(pricing.unpriced, [("llama3.3:70b".to_owned(), 2)]);
    assert_eq!(pricing.matched, [("openai/gpt-4.1".to_owned(), "gpt-4.1".to_owned())]);
    assert!(pricing.price(&data, 1).is_none() && pricing.cost(&data, 1) == 0.0 && pricing.has_prices());
}

#[test]
fn a_model_at_two_providers_has_the_price_of_each() {
    let at = |provider: &'static [(&'static str, &'static str)]| Row {
        model: Some("gpt-4o-2024-05-13"),
        input: Some(1_000_000),
        groups: provider,
        ..Row::default()
    };
    let data = data(&[at(&[("provider", "openai")]), at(&[("provider", "ollama")]), at(&[("provider", "openai")])]);
    let pricing = Pricing::for_dataset(&data, &PriceTable::shipped(), None);
    assert_eq!([0, 1, 2].map(|i| pricing.cost(&data, i)), [5.0, 0.0, 5.0]);
    assert_eq!((pricing.missing[0].requests, pricing.model_price(0).map(|price| price.input)), (1, Some(5e-6)));
}

#[test]
fn a_sum_is_priced_by_its_mean_prompt_and_the_notes_say_so() {
    let sum = |requests, input| Row {
        model: Some("gemini-2.5-pro"),
        input: Some(input),
        requests: Some(requests),
        ..Row::default()
    };
    let data = data(&[sum(10, 1_000_000), sum(0, 1_000_000), sum(2, 1_000_000)]);
    let pricing = Pricing::for_dataset(&data, &PriceTable::shipped(), None);
    // Means of 100,000 (short), unknown (short) and 500,000 tokens (above 200,000).
    let costs = [0, 1, 2].map(|i| pricing.cost(&data, i));
    assert!(costs.iter().zip([1.25, 1.25, 2.5]).all(|(cost, expected)| (cost - expected).abs() < 1e-9), "{costs:?}");
    assert!(pricing.notes.iter().any(|note| note.contains("200,000 tokens")), "{:?}", pricing.notes);
}

#[test]
fn notes_say_where_the_table_has_no_price_for_a_tier_and_where_hours_matter() {
    let row = |model, tier| Row { model: Some(model), input: Some(1), tier, ..Row::default() };
    let data = data(&[row("o1-pro", Tier::Priority), row("deepseek-v4-pro", Tier::Standard)]);
    let notes = Pricing::for_dataset(&data, &PriceTable::shipped(), None).notes.join(" ");
    assert!(
        notes.contains("1 rows at the tier \"priority\"") && notes.contains("deepseek-v4-pro cost less"),
        "{notes}"
    );
}

#[test]
fn the_answers_of_an_image_model_are_images() {
    let row = Row { model: Some("gemini-2.5-flash-image"), output: Some(1_290), kind: Kind::Image, ..Row::default() };
    let data = data(&[row]);
    // 1,290 at output_cost_per_image_token, $30 a million
    assert!((Pricing::for_dataset(&data, &PriceTable::shipped(), None).cost(&data, 0) - 0.0387).abs() < 1e-9);
}

#[test]
fn whole_logs_cost_what_is_computed_beside() {
    // A session of Claude Code: 94 at $3 + 1,080,088 at $0.30 + 43,871 kept for an hour at $6 + 18,791 at $15 a million. Traces
    // with gpt-4.1: 86,898 at $2 + 4,740 at $8. Gemini 2.5 Pro, no prompt above 200,000 tokens: 109,769 at $1.25 + 73,722 at $10,
    // reasoning included. Models of today: the sums of each times its rates.
    let table = PriceTable::shipped();
    for (name, counts, cost) in [
        ("claude-sonnet-4-5-20250929", [1_124_053, 1_080_088, 43_871, 43_871, 18_791, 0, 0, 0], 0.869_399_4),
        ("gpt-4.1", [86_898, 0, 0, 0, 4_740, 0, 0, 0], 0.211_716),
        ("gemini-2.5-pro", [109_769, 0, 0, 0, 73_722, 70_000, 0, 0], 0.874_431_25),
        ("gpt-4.1-mini", [3_652, 0, 0, 0, 269, 0, 0, 0], 0.001_891_2),
        ("claude-sonnet-5-5", [38_792, 0, 0, 0, 4_628, 0, 0, 0], 0.123_864),
        ("gpt-6.1-sol", [59_336, 0, 0, 0, 4_045, 0, 0, 0], 0.159_122),
        ("gpt-5.6", [40_644, 0, 0, 0, 3_558, 0, 0, 0], 0.233_736),
        ("claude-opus-5-5", [37_492, 0, 0, 0, 3_800, 0, 0, 0], 0.225_968),
    ] {
        let computed = table.find(name).expect(name).cost_at(&tokens(counts), Tier::Standard, 0.0);
        assert!((computed - cost).abs() < 1e-7, "{name}: {computed}, not {cost}");
    }
}
