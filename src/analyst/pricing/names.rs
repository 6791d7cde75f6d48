//! Which entry of a price table a model's name in a log means.
//!
//! A name is tried as it is written, then by these rules, the first that finds an entry. None of them leads to a model of another
//! price; where the table cannot tell, the name has no price, and the report says so.
//! 1. The provider is known from the log (a column `provider`) or from the name's prefix (`openai/`, `azure/eu/`, `bedrock/`,
//!    `models/gemini-…`, an ARN). Only this provider's entries count. A name without a provider is that of its vendor:
//!    OpenAI, Anthropic, Google, and the others of [`VENDORS`], whose models only they name so.
//! 2. A bare name of an open model (`llama3.3:70b`, `mistral`) is nobody's: it has no price, nor has anything at a self-hosted
//!    server (`ollama`, `vllm`).
//! 3. Regions are part of the name: `eu.anthropic.…` and `azure/eu/…` have the price that the table has for them, or none. A
//!    region of AWS that the table does not list apart (`bedrock/eu-central-1/…`) has the price that it lists for AWS.
//! 4. A snapshot (`gpt-4o-2024-05-13`, `@20250929`, `-v1:0`) that the table does not list has the price of the name without it, if
//!    all snapshots of the model in the table have that price. A name without a snapshot has the price of its dated snapshots, if
//!    they all have the same.
//! 5. Claude's names are read in each of their forms (`claude-4.5-sonnet`, `claude-sonnet-4.5`); `-thinking`, `-latest`, `[1m]` and, for
//!    Claude and GPT, the reasoning effort (`-high`) do not change a model's prices. `-fast` and `-max` do.
//! 6. A Claude model that Anthropic no longer lists has the price that AWS, else Google, lists for it.
//! 7. OpenRouter charges the vendor's price for closed models. An open model there has that of its host, which logs do not name;
//!    variants with another price (`:free`, `:nitro`, `:online`) have none.

use std::collections::{BTreeMap, HashMap};

use super::{
    price::Price,
    spelling::{Snapshot, snapshot, spellings, split_snapshot},
};

/// The prices of the table, by which it is decided whether snapshots of a model cost the same.
type Prices<'a> = &'a [Price];

/// Providers as logs name them, without case and punctuation, and as the table does. Others are those of the table itself.
const PROVIDERS: &[(&str, &str)] = &[
    ("azopenai", "azure"),
    ("azaiopenai", "azure"),
    ("azureopenai", "azure"),
    ("azureaiopenai", "azure"),
    ("azaiinference", "azure_ai"),
    ("azureaiinference", "azure_ai"),
    ("azurefoundry", "azure_ai"),
    ("amazonbedrock", "bedrock"),
    ("awsbedrock", "bedrock"),
    ("bedrockconverse", "bedrock"),
    ("aws", "bedrock"),
    ("google", "gemini"),
    ("gcpgemini", "gemini"),
    ("googleaistudio", "gemini"),
    ("googlegenai", "gemini"),
    ("vertex", "vertex_ai"),
    ("gcpvertexai", "vertex_ai"),
    ("googlevertex", "vertex_ai"),
    ("googlevertexai", "vertex_ai"),
    ("mistralai", "mistral"),
    ("together", "together_ai"),
    ("fireworks", "fireworks_ai"),
    ("alibaba", "dashscope"),
    ("ibmwatsonxai", "watsonx"),
    ("openaichat", "openai"),
    ("openairesp", "openai"),
    ("openairesponses", "openai"),
];

/// Servers on own hardware, of which nobody charges tokens.
const SELF_HOSTED: &[&str] = &[
    "ollama",
    "ollamachat",
    "vllm",
    "hostedvllm",
    "llamacpp",
    "llamafile",
    "lmstudio",
    "localai",
    "local",
    "tgi",
    "sglang",
    "textgenerationinference",
    "xinference",
    "selfhosted",
    "lemonade",
];

/// Proxies, which say nothing about the provider.
const GATEWAYS: &[&str] = &["openrouter", "litellm", "litellmproxy", "portkey", "helicone", "requesty", "bifrost"];

/// Vendors whose closed models OpenRouter sells at their prices.
const CLOSED: &[&str] = &["openai", "anthropic", "gemini", "xai", "perplexity"];

/// The beginnings of names that only one vendor uses, where the table has them under the vendor's prefix.
const VENDORS: &[(&str, &str)] = &[
    ("claude", "anthropic"),
    ("gemini-", "gemini"),
    ("grok-", "xai"),
    ("sonar", "perplexity"),
    ("mistral-large-", "mistral"),
    ("mistral-medium-", "mistral"),
    ("magistral-medium-", "mistral"),
    ("voyage-", "voyage"),
    ("qwen-max", "dashscope"),
    ("qwen-plus", "dashscope"),
    ("qwen-turbo", "dashscope"),
    ("gpt-35-", "azure"),
];

/// The names of a price table.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    /// Names in lower case, with their index in the table.
    keys: BTreeMap<String, usize>,
    /// Provider of each entry.
    providers: Vec<String>,
    /// Providers without case and punctuation, and as the table names them.
    known: HashMap<String, String>,
}

/// What the provider in a log means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Provider<'a> {
    /// One of the table.
    Hosted(&'a str),
    SelfHosted,
    OpenRouter,
    Gateway,
}

impl Names {
    /// Indexes names, each with its provider, in the order of the table.
    pub(super) fn new<'a>(names: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut index = Self::default();
        for (at, (name, provider)) in names.enumerate() {
            index.keys.entry(name.to_lowercase()).or_insert(at);
            let provider = family(provider);
            let prefix = name.split_once('/').map_or(provider, |(prefix, _)| prefix);
            for provider in [provider, prefix] {
                index.known.entry(plain(provider)).or_insert_with(|| provider.to_lowercase());
            }
            index.providers.push(provider.to_lowercase());
        }
        index
    }

    /// The index of the entry that `name` means; `provider` is what the log says about it.
    pub(super) fn find(&self, name: &str, provider: Option<&str>, prices: Prices<'_>) -> Option<usize> {
        let lower = name.trim().to_lowercase();
        let (name, implied) = without_path(&lower);
        let provider = implied.map(Provider::Hosted).or_else(|| self.provider(provider?));
        match provider {
            // Only a price file of one's own has prices for one's own server.
            Some(Provider::SelfHosted) => self.keys.get(name).copied().filter(|at| {
                let own = self.providers.get(*at).map_or("", String::as_str);
                own.is_empty() || self.provider(own) == Some(Provider::SelfHosted)
            }),
            Some(Provider::Hosted(provider)) => self.find_at(provider, name, prices),
            Some(Provider::OpenRouter) => self.find_at_openrouter(name, prices),
            None | Some(Provider::Gateway) => self.keys.get(name).copied().or_else(|| self.find_by_name(name, prices)),
        }
    }

    /// Finds a name by the provider in its prefix, else as a bare name.
    fn find_by_name(&self, name: &str, prices: Prices<'_>) -> Option<usize> {
        let Some((prefix, rest)) = name.split_once('/') else { return self.find_bare(name, prices) };
        let name = without_variant(name)?;
        match self.provider(prefix)? {
            Provider::Hosted(provider) => self.find_at(provider, name.split_once('/')?.1, prices),
            Provider::OpenRouter => self.find_at_openrouter(rest, prices),
            Provider::Gateway => self.find(rest, None, prices),
            Provider::SelfHosted => None,
        }
    }

    /// Finds a name without provider: an entry without one, or the vendor's.
    fn find_bare(&self, name: &str, prices: Prices<'_>) -> Option<usize> {
        if name.contains('@') {
            return self.find_at("vertex_ai", name, prices);
        }
        let own = spellings(name).iter().find_map(|name| self.listed("", None, name, prices));
        own.or_else(|| {
            let (_, vendor) = VENDORS.iter().find(|(start, _)| name.starts_with(start))?;
            self.find_at(vendor, name, prices)
        })
    }

    /// Finds a model of one provider, with or without the provider's prefix.
    fn find_at(&self, provider: &str, name: &str, prices: Prices<'_>) -> Option<usize> {
        let own = spellings(name).iter().find_map(|name| self.find_spelled_at(provider, name, prices));
        own.or_else(|| {
            let (prefix, rest) = name.split_once('/')?;
            match self.provider(prefix)? {
                Provider::Hosted(inner) if inner == provider => self.find_at(provider, rest, prices),
                // Clients that speak OpenAI's protocol call every server so: the prefix says more.
                Provider::Hosted(inner) if provider == "openai" => self.find_at(inner, rest, prices),
                Provider::Hosted(_) => {
                    spellings(rest).iter().find_map(|name| self.find_spelled_at(provider, name, prices))
                }
                Provider::OpenRouter if provider == "openai" => self.find_at_openrouter(rest, prices),
                _ => None,
            }
        })
    }

    fn find_spelled_at(&self, provider: &str, name: &str, prices: Prices<'_>) -> Option<usize> {
        let prefix = format!("{provider}/");
        let listed = |prefix: &str, name: &str| self.listed(prefix, None, name, prices);
        let bare = |name: &str| self.listed("", Some(provider), name, prices);
        listed(&prefix, name).or_else(|| bare(name)).or_else(|| match provider {
            "anthropic" => ["anthropic.", "vertex_ai/"].into_iter().find_map(|cloud| listed(cloud, name)),
            // Logs call both of Google's services so.
            "gemini" => self.listed("", Some("vertex_ai"), name, prices).or_else(|| listed("vertex_ai/", name)),
            "azure" => listed(&prefix, name.strip_prefix("global/").or_else(|| name.strip_prefix("global-standard/"))?),
            "bedrock" => {
                let name = name.strip_prefix("converse/").or_else(|| name.strip_prefix("invoke/")).unwrap_or(name);
                let region = name.split_once('/').filter(|(region, _)| is_aws_region(region));
                let name = region.map_or(name, |(_, rest)| rest);
                let claude = name.starts_with("claude").then(|| format!("anthropic.{name}"));
                bare(name).or_else(|| bare(&claude?))
            }
            _ => None,
        })
    }

    /// Finds a model at OpenRouter: `anthropic/claude-sonnet-4.5`, only for closed models.
    fn find_at_openrouter(&self, name: &str, prices: Prices<'_>) -> Option<usize> {
        let (vendor, model) = without_variant(name.strip_prefix("openrouter/").unwrap_or(name))?.split_once('/')?;
        match self.provider(vendor)? {
            Provider::Hosted(vendor) if CLOSED.contains(&vendor) => self.find_at(vendor, model, prices),
            _ => None,
        }
    }

    /// The entry with this prefix and name, or by the rule on snapshots. Of `provider`, if it is stated, or of no provider.
    fn listed(&self, prefix: &str, provider: Option<&str>, name: &str, prices: Prices<'_>) -> Option<usize> {
        let allowed = |at: &usize| {
            let own = self.providers.get(*at).map_or("", String::as_str);
            provider.is_none_or(|provider| own.is_empty() || own == provider)
        };
        let get = |name: &str| self.keys.get(&format!("{prefix}{name}")).copied().filter(allowed);
        let snapshots = |name: &str, kinds: &[Snapshot]| -> Vec<usize> {
            let start = format!("{prefix}{name}");
            let keys = self.keys.range(start.clone()..).take_while(|(key, _)| key.starts_with(&start));
            let keys = keys.filter(|(key, _)| snapshot(&key[start.len()..]).is_some_and(|kind| kinds.contains(&kind)));
            keys.map(|(_, at)| *at).filter(allowed).collect()
        };
        let same = |a: usize, b: usize| prices.get(a).zip(prices.get(b)).is_some_and(|(a, b)| a.same_rates(b));
        // The newest, and the one with the prices of most tiers.
        let agreed = |found: Vec<usize>| {
            let best = *found.iter().max_by_key(|at| prices.get(**at).map_or(0, |price| price.steps().len()))?;
            found.iter().all(|at| same(*at, best)).then_some(best)
        };
        if let Some(at) = get(name) {
            return Some(at);
        }
        let (base, kind) = split_snapshot(name).map_or((name, None), |(base, kind)| (base, Some(kind)));
        if let Some(at) = get(base) {
            let others = snapshots(base, &[Snapshot::Date, Snapshot::Short, Snapshot::Version]);
            return others.iter().all(|other| same(at, *other)).then_some(at);
        }
        // AWS adds a version: `anthropic.claude-sonnet-4-5-20250929-v1:0`, `amazon.nova-pro-v1:0`.
        let has_versions = prefix.contains('.') || name.contains('.');
        match kind {
            Some(Snapshot::Short) => None,
            Some(Snapshot::Date) => agreed(snapshots(name, &[Snapshot::Version])).or_else(|| {
                let undated = *snapshots(base, &[Snapshot::Version]).last()?;
                agreed(snapshots(base, &[Snapshot::Date, Snapshot::Short, Snapshot::Version])).map(|_| undated)
            }),
            _ if has_versions => agreed(snapshots(base, &[Snapshot::Date, Snapshot::Version])),
            _ => agreed(snapshots(base, &[Snapshot::Date])),
        }
    }

    /// What a provider's name in a log means; `None` if it is unknown.
    fn provider(&self, name: &str) -> Option<Provider<'_>> {
        let name = plain(name);
        if name.is_empty() {
            return None;
        }
        if SELF_HOSTED.contains(&name.as_str()) {
            return Some(Provider::SelfHosted);
        }
        if name == "openrouter" {
            return Some(Provider::OpenRouter);
        }
        if GATEWAYS.contains(&name.as_str()) {
            return Some(Provider::Gateway);
        }
        let alias = PROVIDERS.iter().find(|(known, _)| *known == name).map(|(_, provider)| *provider);
        alias.or_else(|| self.known.get(&name).map(String::as_str)).map(Provider::Hosted)
    }
}

/// The provider that LiteLLM's several names of it mean.
fn family(provider: &str) -> &str {
    match provider {
        "bedrock_converse" => "bedrock",
        "cohere_chat" => "cohere",
        "azure_text" => "azure",
        _ => {
            let provider = provider.strip_prefix("text-completion-").unwrap_or(provider);
            ["vertex_ai", "fireworks_ai"].into_iter().find(|family| provider.starts_with(family)).unwrap_or(provider)
        }
    }
}

/// A name without case and punctuation.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// The model in an ARN or a resource path, with the provider that uses such paths.
fn without_path(name: &str) -> (&str, Option<&'static str>) {
    let last = name.rsplit('/').next().unwrap_or(name);
    if name.starts_with("arn:aws") && name.contains(":bedrock:") {
        (last, Some("bedrock"))
    } else if name.starts_with("projects/") || name.starts_with("publishers/") {
        (last, Some("vertex_ai"))
    } else if let Some(model) = name.strip_prefix("models/") {
        (model, Some("gemini"))
    } else if name.starts_with("accounts/fireworks/") {
        (name, Some("fireworks_ai"))
    } else {
        (name, None)
    }
}

/// A name without those variants of OpenRouter that cost the same; `None` for the others.
fn without_variant(name: &str) -> Option<&str> {
    match name.rsplit_once(':') {
        Some((model, "thinking" | "beta")) => Some(model),
        Some((_, "free" | "nitro" | "floor" | "online" | "extended" | "exacto")) => None,
        _ => Some(name),
    }
}

fn is_aws_region(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    // Regions of the government have prices of their own.
    matches!(parts[..], [area, _, number] if area.len() == 2 && number.len() == 1 && number.bytes().all(|b| b.is_ascii_digit()))
}
