//! Attributes of a span or log event, under the names that tools give to the usage of a model.
//!
//! Source: OpenTelemetry's semantic conventions for generative AI, current and older (`gen_ai.usage.prompt_tokens`);
//! OpenLLMetry (`llm.usage.*`); OpenInference (`llm.token_count.*`); the Vercel AI SDK (`ai.usage.*`); Pydantic AI
//! (`gen_ai.usage.details.*`).

use std::borrow::Cow;

use crate::analyst::{
    dataset::{Kind, Tier},
    ingest::{
        record::Record,
        sink::Sink,
        usage::Usage,
        values::{Money, Unit},
    },
};

const INPUT: &[&str] = &[
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.token_count.prompt",
    "llm.usage.prompt_tokens",
    "llm.usage.input_tokens",
    "ai.usage.inputTokens",
    "ai.usage.promptTokens",
];

const OUTPUT: &[&str] = &[
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
    "llm.usage.completion_tokens",
    "llm.usage.output_tokens",
    "ai.usage.outputTokens",
    "ai.usage.completionTokens",
];

const TOTAL: &[&str] = &[
    "gen_ai.usage.total_tokens",
    "llm.token_count.total",
    "llm.usage.total_tokens",
    "ai.usage.totalTokens",
    "ai.usage.tokens",
];

const CACHED: &[&str] = &[
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.cached_tokens",
    "gen_ai.usage.input_cached_tokens",
    "gen_ai.usage.details.cache_read_tokens",
    "gen_ai.usage.details.cache_read_input_tokens",
    "gen_ai.usage.details.cached_tokens",
    "llm.token_count.prompt_details.cache_read",
    "llm.usage.cache_read_input_tokens",
    "ai.usage.cachedInputTokens",
    "ai.usage.inputTokenDetails.cacheReadTokens",
];

const CACHE_WRITE: &[&str] = &[
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_write_tokens",
    "gen_ai.usage.details.cache_write_tokens",
    "gen_ai.usage.details.cache_creation_input_tokens",
    "llm.token_count.prompt_details.cache_write",
    "llm.usage.cache_creation_input_tokens",
    "ai.usage.inputTokenDetails.cacheWriteTokens",
];

const REASONING: &[&str] = &[
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "gen_ai.usage.thoughts_tokens",
    "gen_ai.usage.details.reasoning_tokens",
    "llm.token_count.completion_details.reasoning",
    "llm.usage.reasoning_tokens",
    "ai.usage.reasoningTokens",
    "ai.usage.outputTokenDetails.reasoningTokens",
];

const MODEL: &[&str] = &[
    "gen_ai.response.model",
    "gen_ai.request.model",
    "llm.model_name",
    "llm.response.model",
    "llm.request.model",
    "embedding.model_name",
    "ai.response.model",
    "ai.model.id",
];

/// What is done: it shows that a span is a request to a model even without tokens.
const OPERATION: &[&str] =
    &["gen_ai.operation.name", "llm.request.type", "openinference.span.kind", "traceloop.span.kind"];

const PROVIDER: &[&str] = &["gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider"];

/// Values to group by, and the attributes that hold them.
const GROUPS: &[(&str, &[&str])] = &[
    ("provider", PROVIDER),
    ("type", OPERATION),
    ("agent", &["gen_ai.agent.name", "agent.name"]),
    (
        "user",
        &[
            "user.id",
            "enduser.id",
            "user.email",
            "langfuse.user.id",
            "ai.telemetry.metadata.userId",
            "traceloop.association.properties.user_id",
        ],
    ),
    (
        "session",
        &[
            "gen_ai.conversation.id",
            "session.id",
            "langfuse.session.id",
            "ai.telemetry.metadata.sessionId",
            "traceloop.association.properties.session_id",
        ],
    ),
    ("feature", &["gen_ai.workflow.name", "traceloop.workflow.name", "ai.telemetry.functionId"]),
    (
        "prompt",
        &[
            "gen_ai.prompt.name",
            "traceloop.prompt.key",
            "langfuse.observation.prompt.name",
            "llm.prompt_template.version",
        ],
    ),
    ("project", &["openinference.project.name"]),
];

/// Attributes of a record, whose names stand behind a prefix such as `attributes.`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes<'a> {
    /// The record.
    pub record: Record<'a>,
    /// What stands before each name.
    pub prefix: &'static str,
}

impl<'a> Attributes<'a> {
    fn path<'n>(&self, name: &'n str) -> Cow<'n, str> {
        if self.prefix.is_empty() { Cow::Borrowed(name) } else { Cow::Owned(format!("{}{name}", self.prefix)) }
    }

    /// The first of these texts that is there.
    pub(super) fn text(&self, names: &[&str]) -> Option<Cow<'a, str>> {
        names.iter().find_map(|name| self.record.text(&self.path(name)))
    }

    /// The first of these counts that is there.
    ///
    /// # Errors
    /// As [`Record::count`].
    pub(super) fn count(&self, names: &[&str]) -> Result<Option<u64>, String> {
        for name in names {
            if let Some(n) = self.record.count(&self.path(name))? {
                return Ok(Some(n));
            }
        }
        Ok(None)
    }

    /// The amount of money of this name.
    ///
    /// # Errors
    /// As [`Record::money`].
    pub(super) fn money(&self, name: &str) -> Result<Option<Money>, String> {
        self.record.money(&self.path(name))
    }

    /// Whether any of them counts the tokens of a model, or names what is asked of it.
    pub(super) fn are_of_a_model(&self) -> bool {
        [INPUT, OUTPUT, OPERATION].into_iter().flatten().any(|name| self.record.has(&self.path(name)))
    }

    /// Whether they are of a single request to a model, not of an agent, a chain or a tool.
    pub(super) fn are_of_a_request(&self) -> bool {
        const REQUESTS: &[&str] =
            &["chat", "text_completion", "completion", "generate_content", "embeddings", "embedding", "llm", "rerank"];
        OPERATION.iter().any(|name| {
            self.text(&[name]).is_some_and(|text| REQUESTS.iter().any(|request| text.eq_ignore_ascii_case(request)))
        })
    }

    /// Who wrote them: all spans of one provider count cached tokens in the same way.
    pub(super) fn writer(&self) -> String {
        self.text(PROVIDER).unwrap_or_default().into_owned()
    }

    /// The usage that they state, with the input as it is logged.
    ///
    /// # Errors
    /// The reason why a count cannot be read, as a clause.
    pub(super) fn usage(&self, sink: &mut Sink<'_>) -> Result<Usage<'a>, String> {
        let mut usage = Usage {
            model: self.text(MODEL),
            input: self.count(INPUT)?,
            output: self.count(OUTPUT)?,
            total: self.count(TOTAL)?,
            cached: self.count(CACHED)?,
            cache_write: self.count(CACHE_WRITE)?,
            reasoning: self.count(REASONING)?,
            audio_input: self
                .count(&["llm.token_count.prompt_details.audio", "gen_ai.usage.details.input_audio_tokens"])?,
            audio_output: self
                .count(&["llm.token_count.completion_details.audio", "gen_ai.usage.details.output_audio_tokens"])?,
            first_token: self.first_token(sink),
            kind: self.kind(),
            tier: self.tier(),
            ..Usage::default()
        };
        for name in ["gen_ai.usage.cost", "gen_ai.usage.total_cost", "llm.cost.total", "operation.cost"] {
            usage.cost = usage.cost.or_else(|| sink.optional("cost", self.money(name)));
        }
        for (name, attributes) in GROUPS {
            usage.group(name, self.text(attributes));
        }
        Ok(usage)
    }

    fn first_token(&self, sink: &mut Sink<'_>) -> Option<(f64, Option<Unit>)> {
        const NAMES: &[(&str, Unit)] = &[
            ("gen_ai.response.time_to_first_chunk", Unit::Seconds),
            ("gen_ai.server.time_to_first_token", Unit::Seconds),
            ("ai.response.msToFirstChunk", Unit::Millis),
        ];
        NAMES.iter().find_map(|(name, unit)| {
            let time = sink.optional("time to first token", self.record.number(&self.path(name)))?;
            Some((time, Some(*unit)))
        })
    }

    fn kind(&self) -> Kind {
        let is = |words: &[&str]| {
            OPERATION.iter().any(|name| {
                self.text(&[name]).is_some_and(|text| words.iter().any(|word| text.eq_ignore_ascii_case(word)))
            })
        };
        match () {
            () if is(&["embeddings", "embedding"]) => Kind::Embedding,
            () if is(&["image_generation", "generate_image"]) => Kind::Image,
            () if is(&["rerank", "reranker"]) => Kind::Other,
            () => Kind::Chat,
        }
    }

    fn tier(&self) -> Tier {
        let names = &["openai.response.service_tier", "gen_ai.openai.response.service_tier"];
        self.text(names).map_or(Tier::Standard, |name| tier(&name))
    }
}

/// The service tier of this name.
pub(super) fn tier(name: &str) -> Tier {
    match name.to_ascii_lowercase().as_str() {
        "batch" => Tier::Batch,
        "flex" => Tier::Flex,
        "priority" => Tier::Priority,
        _ => Tier::Standard,
    }
}
