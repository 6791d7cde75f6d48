//! A model's rates by service tier and length of the prompt, and what tokens cost at them.

use serde::Serialize;

use crate::analyst::dataset::{Dataset, Kind, Tier};

/// Number of rates of a step.
pub(super) const RATES: usize = 11;

/// Rates as a table states them; `None` where it states none. The order is that of the fields of [`Rates`].
pub(super) type StatedRates = [Option<f64>; RATES];

/// What a model's tokens cost at one service tier, for prompts of one range of lengths; US dollars per token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Rates {
    /// Input that is neither read from nor written to a cache.
    pub input: f64,
    /// Output.
    pub output: f64,
    /// Input read from a cache.
    pub cached: f64,
    /// Input written to a cache (for 5 minutes, if the provider offers several durations).
    pub cache_write: f64,
    /// Input written to a cache for an hour.
    pub cache_write_1h: f64,
    /// Output that is reasoning.
    pub reasoning: f64,
    /// Input that is audio.
    pub audio_input: f64,
    /// Output that is audio.
    pub audio_output: f64,
    /// Audio read from a cache.
    pub audio_cached: f64,
    /// Input that is images.
    pub image_input: f64,
    /// Output that is images.
    pub image_output: f64,
}

impl Rates {
    /// Fills in what a table does not state: cached and written input costs what input costs, all kinds of input and output what
    /// text costs. `None` without a rate for input.
    fn from_stated(stated: &StatedRates) -> Option<Self> {
        let input = stated[0]?;
        let output = stated[1].or(stated[10]).unwrap_or(0.0);
        let cached = stated[2].unwrap_or(input);
        // A write is never free where input is not: a zero means that there is no price of its own.
        let cache_write = stated[3].filter(|rate| *rate > 0.0).unwrap_or(input);
        Some(Self {
            input,
            output,
            cached,
            cache_write,
            cache_write_1h: stated[4].unwrap_or(cache_write),
            reasoning: stated[5].unwrap_or(output),
            audio_input: stated[6].unwrap_or(input),
            audio_output: stated[7].unwrap_or(output),
            audio_cached: stated[8].unwrap_or(cached),
            image_input: stated[9].unwrap_or(input),
            image_output: stated[10].unwrap_or(output),
        })
    }
}

/// The rates of one tier for prompts longer than `above` tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RateStep {
    /// The service tier.
    pub tier: Tier,
    /// The rates apply to requests with more input tokens than this, and to all their tokens.
    pub above: u64,
    /// The rates.
    pub rates: Rates,
}

/// A model's prices, US dollars per token.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Price {
    /// The model's name in the table.
    pub model: String,
    /// Input at the standard tier that is neither read from nor written to a cache.
    pub input: f64,
    /// Output.
    pub output: f64,
    /// Input read from a cache; the input price if the table has none.
    pub cached: f64,
    /// Input written to a cache for 5 minutes; the input price if the table has none.
    pub cache_write: f64,
    /// Input written to a cache for an hour; the price for 5 minutes if the table has none.
    pub cache_write_1h: f64,
    /// Input and output in a batch, if the provider offers batches.
    pub batch: Option<(f64, f64)>,
    /// Whether the provider charges less at certain hours; these prices are those of the other hours.
    pub off_peak: bool,
    /// All rates, in order of tier and length; the first is that of the fields above.
    #[serde(skip)]
    steps: Vec<RateStep>,
}

/// The tokens that a price applies to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tokens {
    /// All input tokens, including those read from and written to a cache, audio and images.
    pub input: f64,
    /// Those of them read from a cache.
    pub cached: f64,
    /// Those of them written to a cache, for any time.
    pub cache_write: f64,
    /// Those of `cache_write` that are kept for an hour.
    pub cache_write_1h: f64,
    /// All output tokens, including reasoning, audio and images.
    pub output: f64,
    /// Those of them that are reasoning.
    pub reasoning: f64,
    /// Input tokens that are audio.
    pub audio_input: f64,
    /// Output tokens that are audio.
    pub audio_output: f64,
    /// Input tokens that are images, where they are counted apart.
    pub image_input: f64,
    /// Output tokens that are images.
    pub image_output: f64,
}

impl Tokens {
    /// The tokens of row `i`. What a request for images answers counts as images, apart from its reasoning.
    pub fn from_row(data: &Dataset, i: usize) -> Self {
        let at = |column: &[u64]| column.get(i).map_or(0.0, |n| *n as f64);
        let (output, reasoning) = (at(&data.output), at(&data.reasoning));
        Self {
            input: at(&data.input),
            cached: at(&data.cached),
            cache_write: at(&data.cache_write),
            cache_write_1h: at(&data.cache_write_1h),
            output,
            reasoning,
            audio_input: at(&data.audio_input),
            audio_output: at(&data.audio_output),
            image_input: 0.0,
            image_output: if data.kind(i) == Kind::Image { (output - reasoning).max(0.0) } else { 0.0 },
        }
    }
}

impl Price {
    /// A price with one rate for each kind of tokens at every length, US dollars per token, and no batches.
    pub fn simple(model: &str, input: f64, output: f64, cached: f64, cache_write: f64) -> Self {
        let mut stated = StatedRates::default();
        stated[..4].copy_from_slice(&[Some(input), Some(output), Some(cached), Some(cache_write)]);
        let rates = Rates::from_stated(&stated).unwrap_or_default();
        Self::from_steps(model, vec![RateStep { tier: Tier::Standard, above: 0, rates }], false)
    }

    /// A price from what a table states for each tier and for prompts above a number of tokens. `None` without a standard rate
    /// for input.
    ///
    /// What a table does not state follows from what it does: above a length, the rate below it; at another tier, the standard
    /// rate at the same discount (or surcharge) as input has at that tier. Cached input keeps its standard rate, as it costs
    /// the same at all tiers where providers say nothing else. Above a length for which a tier has no rates, batch and flex
    /// keep their discount; priority, which providers do not offer there, becomes standard.
    pub(super) fn from_stated(model: &str, stated: &[(Tier, u64, StatedRates)], off_peak: bool) -> Option<Self> {
        let rate =
            |tier: Tier, above: u64| stated.iter().find(|step| step.0 == tier && step.1 == above).map(|step| step.2);
        let mut lengths: Vec<u64> = stated.iter().map(|step| step.1).chain([0]).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let mut standard: Vec<(u64, StatedRates)> = Vec::new();
        for above in lengths {
            let mut own = rate(Tier::Standard, above).unwrap_or_default();
            // Writes have no price of their own only above a length: the map means something else for Gemini.
            own[3] = own[3].filter(|_| above == 0 || standard.last().is_some_and(|below| below.1[3].is_some()));
            let below = standard.last().map(|step| step.1).unwrap_or_default();
            standard.push((above, std::array::from_fn(|at| own[at].or(below[at]))));
        }
        let mut steps = Vec::new();
        for (above, stated) in &standard {
            steps.push(RateStep { tier: Tier::Standard, above: *above, rates: Rates::from_stated(stated)? });
        }
        for tier in [Tier::Batch, Tier::Flex, Tier::Priority] {
            let Some(short) = rate(tier, 0).filter(|rates| rates[0].is_some()) else { continue };
            let base = standard[0].1;
            for (above, list) in &standard {
                let own = match (rate(tier, *above), tier) {
                    (Some(own), _) if *above == 0 || own[0].is_some() => own,
                    (_, Tier::Priority) => *list,
                    _ => std::array::from_fn(|at| {
                        Some(short[at]? * list[at]? / base[at]?).filter(|rate| rate.is_finite())
                    }),
                };
                steps.push(RateStep { tier, above: *above, rates: Rates::from_stated(&completed(own, list))? });
            }
        }
        Some(Self::from_steps(model, steps, off_peak))
    }

    fn from_steps(model: &str, steps: Vec<RateStep>, off_peak: bool) -> Self {
        let first = steps.first().map(|step| step.rates).unwrap_or_default();
        let batch = steps.iter().find(|step| step.tier == Tier::Batch && step.above == 0);
        Self {
            model: model.to_owned(),
            input: first.input,
            output: first.output,
            cached: first.cached,
            cache_write: first.cache_write,
            cache_write_1h: first.cache_write_1h,
            batch: batch.map(|step| (step.rates.input, step.rates.output)),
            off_peak,
            steps,
        }
    }

    /// The rates for a request with `prompt` input tokens at a tier; the standard ones if the model has none for the tier.
    pub fn rates(&self, tier: Tier, prompt: f64) -> Rates {
        let tier = if self.has_tier(tier) { tier } else { Tier::Standard };
        let fits = |step: &&RateStep| step.tier == tier && (step.above == 0 || prompt > step.above as f64);
        self.steps.iter().rev().find(fits).map(|step| step.rates).unwrap_or_default()
    }

    /// All rates, in order of tier and length.
    pub fn steps(&self) -> &[RateStep] {
        &self.steps
    }

    /// Whether the model has its own rates at a tier.
    pub fn has_tier(&self, tier: Tier) -> bool {
        self.steps.iter().any(|step| step.tier == tier)
    }

    /// The number of input tokens above which a request costs more, if there is one (the lowest, if there are several).
    pub fn costs_more_above(&self) -> Option<u64> {
        self.steps.iter().find(|step| step.above > 0).map(|step| step.above)
    }

    /// Whether both cost the same at the standard tier, and at every other tier that both have.
    pub fn same_rates(&self, other: &Self) -> bool {
        let tiers = [Tier::Standard, Tier::Batch, Tier::Flex, Tier::Priority];
        let at = |price: &Self, tier: Tier| -> Vec<RateStep> {
            price.steps.iter().filter(|step| step.tier == tier).copied().collect()
        };
        tiers.iter().all(|tier| {
            let (own, others) = (at(self, *tier), at(other, *tier));
            own == others || (*tier != Tier::Standard && (own.is_empty() || others.is_empty()))
        })
    }

    /// Whether this model costs at most as much for every kind of tokens at every length, at the standard tier and, if both
    /// have them, in batches; and less for input or output.
    pub fn is_cheaper_than(&self, other: &Self) -> bool {
        let lengths = self.steps.iter().chain(&other.steps).map(|step| step.above);
        let prompts: Vec<f64> = lengths.map(|above| above as f64 + 1.0).collect();
        let tiers =
            [Tier::Standard, Tier::Batch].into_iter().filter(|tier| self.has_tier(*tier) && other.has_tier(*tier));
        (self.input < other.input || self.output < other.output)
            && tiers.flat_map(|tier| prompts.iter().map(move |prompt| (tier, *prompt))).all(|(tier, prompt)| {
                let (own, others) = (self.rates(tier, prompt), other.rates(tier, prompt));
                own.input <= others.input
                    && own.output <= others.output
                    && own.cached <= others.cached
                    && own.cache_write <= others.cache_write
                    && own.cache_write_1h <= others.cache_write_1h
                    && own.reasoning <= others.reasoning
            })
    }

    /// The cost of one request at a service tier, in US dollars. A prompt above a length with higher rates pays them for all
    /// tokens of the request, as providers do.
    pub fn cost_of(&self, tokens: &Tokens, tier: Tier) -> f64 {
        self.cost_at(tokens, tier, tokens.input)
    }

    /// The cost of tokens at a service tier, in US dollars, at the rates for prompts of `prompt` tokens: for sums of requests,
    /// whose tokens do not show how long a prompt was.
    pub fn cost_at(&self, tokens: &Tokens, tier: Tier, prompt: f64) -> f64 {
        let rates = self.rates(tier, prompt);
        let cached = tokens.cached.max(0.0);
        let write = tokens.cache_write.max(0.0);
        let write_1h = tokens.cache_write_1h.clamp(0.0, write);
        let fresh = (tokens.input - cached - write).max(0.0);
        // Where the log does not tell which tokens come from the cache, text does before audio.
        let audio = tokens.audio_input.clamp(0.0, fresh);
        let audio_cached = (tokens.audio_input - audio).clamp(0.0, cached);
        let image = tokens.image_input.clamp(0.0, fresh - audio);
        let audio_output = tokens.audio_output.clamp(0.0, tokens.output.max(0.0));
        let image_output = tokens.image_output.clamp(0.0, tokens.output.max(0.0) - audio_output);
        let reasoning = tokens.reasoning.clamp(0.0, tokens.output.max(0.0) - audio_output - image_output);
        let text = tokens.output.max(0.0) - audio_output - image_output - reasoning;
        (fresh - audio - image) * rates.input
            + audio * rates.audio_input
            + image * rates.image_input
            + (cached - audio_cached) * rates.cached
            + audio_cached * rates.audio_cached
            + (write - write_1h) * rates.cache_write
            + write_1h * rates.cache_write_1h
            + text * rates.output
            + reasoning * rates.reasoning
            + audio_output * rates.audio_output
            + image_output * rates.image_output
    }

    /// The cost of text at the standard tier in US dollars, at the rates of short prompts. `input` includes the tokens read from
    /// and written to a cache. For a request, [`Price::cost_of`] is exact.
    pub fn cost(&self, input: f64, cached: f64, cache_write: f64, output: f64) -> f64 {
        self.cost_at(&Tokens { input, cached, cache_write, output, ..Tokens::default() }, Tier::Standard, 0.0)
    }
}

/// The rates of a tier, with what they do not state from the standard ones, see [`Price::from_stated`].
fn completed(own: StatedRates, list: &StatedRates) -> StatedRates {
    let factor = own[0].zip(list[0]).filter(|(_, list)| *list > 0.0).map_or(1.0, |(own, list)| own / list);
    std::array::from_fn(|at| {
        own[at].or_else(|| match at {
            2 => list[at].map(|cached| own[0].map_or(cached, |input| cached.min(input))),
            _ => list[at].map(|rate| rate * factor),
        })
    })
}
