//! Bills: amounts of money by day and line item, without tokens. They show what was billed and for what; tokens are
//! never made of them, also where a bill has quantities (in thousands or millions, by meters of many names).
//!
//! Fields as in OpenAI's `CostsResult` and its CSV export, Anthropic's `cost_report` (amounts in cents) and the
//! Console's cost export, the AWS Cost and Usage Report (both versions of its names), Azure Cost Management's
//! exports, and FOCUS. Bills of a whole cloud have lines of other services; only those of AI models count.

use super::{Reader, Source, shared::identify_sum};
use crate::analyst::ingest::{record::Record, sink::Sink, usage::Usage, values};

/// OpenAI's costs.
pub(super) static OPENAI: Bill = Bill {
    name: "OpenAI costs",
    is_line: |line| {
        line.is("object", "organization.costs.result")
            || line.has_all(&["start_time", "amount_value", "amount_currency", "line_item"])
    },
    amount: &["amount.value", "amount_value"],
    currency: &["amount.currency", "amount_currency"],
    item: &["line_item"],
    groups: &[
        ("project", &["project_name", "project_id"]),
        ("key", &["api_key_id"]),
        ("organization", &["organization_name", "organization_id"]),
    ],
    ..EMPTY
};

/// Anthropic's costs.
pub(super) static ANTHROPIC: Bill = Bill {
    name: "Anthropic costs",
    is_line: |line| line.has_all(&["currency", "amount", "cost_type"]),
    amount: &["amount"],
    in_cents: true,
    currency: &["currency"],
    ..ANTHROPIC_NAMES
};

/// The Console's cost export.
pub(super) static ANTHROPIC_CONSOLE: Bill = Bill {
    name: "Anthropic Console cost export",
    is_line: |line| line.has_all(&["usage_date_utc", "cost_usd"]) && !line.has("usage_output_tokens"),
    amount: &["cost_usd"],
    ..ANTHROPIC_NAMES
};

const ANTHROPIC_NAMES: Bill = Bill {
    period_ms: Some(86_400_000),
    item: &["description", "token_type", "cost_type"],
    model: &["model", "model_version"],
    groups: &[
        ("project", &["workspace_id", "workspace"]),
        ("key", &["api_key"]),
        ("token type", &["token_type"]),
        ("tier", &["service_tier", "usage_type"]),
        ("context window", &["context_window"]),
    ],
    ..EMPTY
};

/// The AWS Cost and Usage Report.
pub(super) static AWS: Bill = Bill {
    name: "AWS Cost and Usage Report",
    is_line: |line| {
        line.has_all(&["lineItem/UnblendedCost", "lineItem/ProductCode"])
            || line.has_all(&["line_item_unblended_cost", "line_item_product_code"])
    },
    amount: &["lineItem/UnblendedCost", "line_item_unblended_cost"],
    currency: &["lineItem/CurrencyCode", "line_item_currency_code"],
    item: &["lineItem/UsageType", "line_item_usage_type"],
    groups: &[
        ("organization", &["lineItem/UsageAccountId", "line_item_usage_account_id"]),
        ("type", &["lineItem/Operation", "line_item_operation"]),
        ("region", &["product/regionCode", "product/region", "product_region_code"]),
    ],
    service: &[
        "lineItem/ProductCode",
        "line_item_product_code",
        "product/ProductName",
        "product_product_name",
        "product.product_name",
        "lineItem/LineItemDescription",
        "line_item_line_item_description",
    ],
    id: &["identity/LineItemId", "identity_line_item_id"],
    ..EMPTY
};

/// Exports of Azure Cost Management.
pub(super) static AZURE: Bill = Bill {
    name: "Azure cost export",
    is_line: |line| {
        ["MeterCategory", "meterCategory"].iter().any(|name| line.has(name))
            && AZURE.amount.iter().any(|name| line.has(name))
    },
    amount: &["CostInBillingCurrency", "costInBillingCurrency", "PreTaxCost", "Cost", "cost"],
    currency: &[
        "BillingCurrencyCode",
        "billingCurrencyCode",
        "BillingCurrency",
        "billingCurrency",
        "Currency",
        "currency",
    ],
    item: &["MeterName", "meterName"],
    groups: &[
        ("project", &["ResourceGroup", "resourceGroup", "resourceGroupName"]),
        ("organization", &["SubscriptionName", "subscriptionName", "SubscriptionId", "subscriptionId"]),
        ("region", &["ResourceLocation", "resourceLocation"]),
    ],
    service: &["MeterCategory", "meterCategory", "MeterSubCategory", "meterSubCategory", "MeterName", "meterName"],
    ..EMPTY
};

/// Bills in the format of FOCUS, of any cloud.
pub(super) static FOCUS: Bill = Bill {
    name: "FOCUS cost export",
    is_line: |line| line.has_all(&["BilledCost", "BillingCurrency", "ChargePeriodStart", "ServiceName"]),
    amount: &["BilledCost"],
    currency: &["BillingCurrency"],
    item: &["SkuMeter", "ChargeDescription"],
    groups: &[
        ("provider", &["ProviderName"]),
        ("organization", &["SubAccountName", "SubAccountId"]),
        ("region", &["RegionId", "RegionName"]),
        ("service", &["ServiceName"]),
    ],
    service: &["ServiceName", "SkuMeter", "ChargeDescription"],
    ..EMPTY
};

const EMPTY: Bill = Bill {
    name: "",
    is_line: |_| false,
    amount: &[],
    in_cents: false,
    currency: &[],
    item: &[],
    model: &[],
    groups: &[],
    period_ms: None,
    service: &[],
    id: &[],
};

/// Names of the start and end of a line's period.
const STARTS: &[&str] = &[
    "start_time",
    "starting_at",
    "usage_date_utc",
    "lineItem/UsageStartDate",
    "line_item_usage_start_date",
    "Date",
    "date",
    "UsageDateTime",
    "UsageDate",
    "ChargePeriodStart",
];
const ENDS: &[&str] =
    &["end_time", "ending_at", "lineItem/UsageEndDate", "line_item_usage_end_date", "ChargePeriodEnd"];

/// Words in the names of services and meters of AI models.
const AI_WORDS: &[&str] = &[
    "bedrock",
    "openai",
    "anthropic",
    "claude",
    "gemini",
    "vertex",
    "foundry model",
    "mistral",
    "cohere",
    "llama",
    "gpt",
];

/// The layout of a bill. Where several names are given, the first one that a line has counts.
pub(super) struct Bill {
    name: &'static str,
    /// Whether a record is a line of such a bill.
    is_line: fn(Record<'_>) -> bool,
    amount: &'static [&'static str],
    in_cents: bool,
    currency: &'static [&'static str],
    /// What the money is for.
    item: &'static [&'static str],
    model: &'static [&'static str],
    groups: &'static [(&'static str, &'static [&'static str])],
    /// The length of a line's period, if a line has no end.
    period_ms: Option<i64>,
    /// Names of the service; if there are any, only lines of AI models count.
    service: &'static [&'static str],
    /// The id of a line. Without one, a line of the same values as another is a repeated one: exports overlap.
    id: &'static [&'static str],
}

impl Source for Bill {
    fn name(&self) -> &'static str {
        self.name
    }

    fn recognises(&self, record: Record<'_>) -> bool {
        (self.is_line)(record)
            || record.items("results").any(self.is_line)
            || record.items("data").any(|bucket| bucket.items("results").any(self.is_line))
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(BillReader(Bill { ..*self }))
    }
}

struct BillReader(Bill);

impl Reader for BillReader {
    /// Reads a page, a bucket or a line.
    fn read(&mut self, record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
        if (self.0.is_line)(record) {
            return self.0.read_line(record, record, sink);
        }
        record.items("data").try_for_each(|bucket| self.read(bucket, sink))?;
        record.items("results").try_for_each(|line| self.0.read_line(line, record, sink))
    }
}

impl Bill {
    fn read_line<'a>(&self, line: Record<'a>, bucket: Record<'a>, sink: &mut Sink<'_>) -> Result<(), String> {
        if !self.service.is_empty() && !self.service.iter().any(|name| line.text(name).is_some_and(|text| is_ai(&text)))
        {
            sink.skip("lines of other services");
            return Ok(());
        }
        let Some((name, text)) = self.amount.iter().find_map(|name| Some((name, line.text(name)?))) else {
            sink.skip("periods without costs");
            return Ok(());
        };
        if text.starts_with(['-', '(']) {
            sink.unknown("The bill has credits or refunds (negative amounts): costs are before them.");
            sink.skip("credits and refunds");
            return Ok(());
        }
        let mut cost = line.money(name)?;
        if let Some(cost) = &mut cost {
            cost.amount /= if self.in_cents { 100.0 } else { 1.0 };
            if let Some(code) = line.first_text(self.currency) {
                cost.currency =
                    Some(values::currency_code(&code).ok_or_else(|| format!("unknown currency: {code:?}"))?);
            }
        }
        let start = sink.optional("time", bucket.first_time(STARTS));
        let end = sink.optional("end time", bucket.first_time(ENDS));
        let item = line.first_text(self.item);
        let mut usage = Usage {
            start_ms: start,
            period_ms: start.zip(end).map(|(start, end)| end - start).or(self.period_ms),
            requests: Some(0),
            model: line.first_text(self.model).or_else(|| item.clone()),
            cost,
            ..Usage::default()
        };
        // A bill of a whole cloud may have equal lines, of several resources.
        let id = line.first_text(self.id).zip(start).map(|(id, start)| format!("{id} {start}").into());
        usage.group("line item", item);
        for (name, paths) in self.groups {
            usage.group(name, line.first_text(paths));
        }
        match id {
            Some(id) => usage.request_id = Some(id),
            None if self.service.is_empty() => identify_sum(&mut usage),
            None => {}
        }
        sink.push(usage);
        Ok(())
    }
}

fn is_ai(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    AI_WORDS.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use crate::analyst::ingest::{ColumnChoice, Input, Reading};

    #[test]
    fn a_bill_beside_a_log_says_that_costs_count_twice() {
        let bill = "usage_date_utc,model,token_type,cost_usd\n2026-11-01,m,output,1.5\n2026-11-02,m,output,2\n";
        let log = "model,input_tokens,output_tokens\nm,10,5\nm,20,6\n";
        let mut reading = Reading::new(true);
        for (name, text) in [("bill.csv", bill), ("log.csv", log)] {
            let input = Input::from_bytes(text.as_bytes()).expect("a text");
            reading.add(name, &input, &ColumnChoice::default(), &|| false).expect("a readable file");
        }
        let log = reading.finish().expect("a log");
        assert_eq!((log.data.input.iter().sum::<u64>(), log.data.requests()), (30, None));
        assert!(
            log.report.unknown.iter().any(|text| text.contains("2 rows with an amount of money")),
            "{:?}",
            log.report
        );
    }
}
