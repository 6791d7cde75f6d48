"""Writes questions.csv (a log of three weeks) and questions.json (questions with what their answers must hold).

Run it in its folder: python3 questions.py. The figures are computed here from the rows, without the analyst:
sums over rows, percentiles as sorted(v)[ceil(p * len(v) / 100) - 1], days as UTC dates unless the question names a zone.
"""
import csv, json, math, random
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

random.seed(7)
USERS = {"ada": "research", "ben": "support", "cleo": "support", "dan": "sales", "eve": "research", "finn": "sales"}
FEATURES = ["search", "summary", "drafts"]
# Dollars a million tokens: input, cached, output (LiteLLM's cost map).
PRICES = {
    "gpt-4.1": (2, 0.5, 8), "gpt-4.1-mini": (0.4, 0.1, 1.6), "o3": (2, 0.5, 8), "text-embedding-3-small": (0.02, 0.02, 0),
    "claude-sonnet-4-5": (3, 0.3, 15),
}

rows = []
start = datetime(2026, 1, 5, tzinfo=timezone.utc)
for n in range(600):
    at = start + timedelta(seconds=random.randrange(21 * 86400))
    user = random.choices(list(USERS), [9, 7, 5, 4, 3, 2])[0]
    model = random.choices(["gpt-4.1", "gpt-4.1-mini", "o3", "text-embedding-3-small"], [4, 3, 1, 2])[0]
    embedding = model.startswith("text")
    inp = random.randrange(200, 9000)
    out = 0 if embedding else random.randrange(20, 900)
    failed = random.random() < 0.06
    out = 0 if failed else out
    cached = 0 if embedding or inp < 1024 or random.random() < 0.5 else inp // 2 // 128 * 128
    reasoning = out * 3 // 4 if model == "o3" else 0
    latency = 150 + out * 17 + random.randrange(400)
    price = PRICES[model]
    cost = round(((inp - cached) * price[0] + cached * price[1] + out * price[2]) / 1e6, 6)
    if failed:
        cost = round(inp * price[0] / 1e6, 6)
        cached = 0
    rows.append({
        "timestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ"), "model": model, "user": user, "team": USERS[user],
        "feature": random.choice(FEATURES), "session_id": f"s{random.randrange(90):02}", "status": 500 if failed else 200,
        "type": "embedding" if embedding else "chat", "input_tokens": inp, "output_tokens": out, "cached_tokens": cached,
        "reasoning_tokens": reasoning, "latency_ms": latency, "time_to_first_token_ms": 90 + random.randrange(500),
        "cost_usd": f"{cost:.6f}",
    })
rows.sort(key=lambda row: row["timestamp"])
with open("questions.csv", "w", newline="") as file:
    writer = csv.DictWriter(file, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)

rows = list(csv.DictReader(open("questions.csv")))
for row in rows:
    for name in ["input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "latency_ms", "time_to_first_token_ms"]:
        row[name] = int(row[name])
    row["cost"] = float(row["cost_usd"])
    row["at"] = datetime.strptime(row["timestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    row["day"], row["tokens"] = row["at"].date().isoformat(), row["input_tokens"] + row["output_tokens"]
    row["one"] = 1
    row["failed"] = row["status"] == "500"


def total(name, test=lambda row: True):
    return sum(row[name] for row in rows if test(row))


def count(test=lambda row: True):
    return sum(1 for row in rows if test(row))


def by(key, name="cost", test=lambda row: True):
    sums = defaultdict(float)
    for row in rows:
        if test(row):
            sums[key(row)] += row[name]
    return sorted(sums.items(), key=lambda item: -item[1])


def money(value):
    size = abs(value)
    return f"${value:,.0f}" if size >= 1000 else f"${value:.2f}" if size >= 0.1 or size == 0 else f"${value:.4f}"


def percent(share):
    return f"{share * 100:.1f} %"


def millis(ms):
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.2f} s"


def rank(values, p):
    values = sorted(values)
    return values[math.ceil(p * len(values) / 100) - 1]


COST = total("cost")
weekday = lambda day: datetime.fromisoformat(day).strftime("%a")
named = lambda name, value: f"`{name}` {money(value)} ({percent(value / COST)})"
questions = []


def ask(question, *holds):
    questions.append({"question": question, "holds": list(holds)})


users, teams, days = by(lambda r: r["user"]), by(lambda r: r["team"]), by(lambda r: r["day"])
models, features, sessions = by(lambda r: r["model"]), by(lambda r: r["feature"]), by(lambda r: r["session_id"])
ask("Which user costs the most?", "User with the highest cost", ", ".join(named(*u) for u in users[:4]), "6 users in all")
ask("Who spends the most?", named(*users[0]))
ask("top 2 teams", "Teams with the highest cost", ", ".join(named(*t) for t in teams[:2]))
ask("cost by feature", "Cost by feature", ", ".join(named(*f) for f in features))
ask("Which customer is the cheapest?", "lowest cost", named(*users[-1]))
ask("Which day was dearest?", f"{days[0][0]} ({weekday(days[0][0])}) {money(days[0][1])}")
hour = by(lambda r: f"{r['at'].hour:02}:00")[0]
ask("Which hour is the most expensive?", f"{hour[0]} {money(hour[1])}")
berlin = by(lambda r: f"{r['at'].astimezone(ZoneInfo('Europe/Berlin')).hour:02}:00")[0]
ask("Which hour is the most expensive in Berlin time?", "Berlin time", f"{berlin[0]} {money(berlin[1])}")
tokyo = by(lambda r: r["at"].astimezone(ZoneInfo("Asia/Tokyo")).date().isoformat())[0]
ask("Which day cost the most in Tokyo time?", f"{tokyo[0]} ({weekday(tokyo[0])}) {money(tokyo[1])}")
ask("Which model is the most expensive?", named(*models[0]))
failed = lambda r: r["failed"]
ask("What did failed requests cost?", f"{money(total('cost', failed))} for {count(failed)} requests",
    f"{percent(total('cost', failed) / COST)} of {money(COST)}")
ask("How many requests failed?", f"{count(failed)} ({count(failed)} of {len(rows)} requests, {percent(count(failed) / len(rows))})")
rates = {m: count(lambda r: r["model"] == m and r["failed"]) / count(lambda r: r["model"] == m) for m, _ in models}
worst = max(rates, key=rates.get)
ask("failure rate by model", f"`{worst}` {percent(rates[worst])}")
# The log ends on Sunday 25 January 2026: the week before is 12 to 18 January.
week = lambda r: "2026-01-12" <= r["day"] <= "2026-01-18"
ask("How much did we spend last week?", "2026-01-12 to 2026-01-18", f"{money(total('cost', week))} for {count(week)} requests")
one = lambda r: r["day"] == "2026-01-09"
ask("How much did we spend on 9 January?", f"{money(total('cost', one))} for {count(one)} requests")
ask("How much did we spend in October?", "no requests of that time (2025-10-01 to 2025-10-31)", "2026-01-05 to 2026-01-25")
gpt = lambda r: r["model"] == "gpt-4.1"
ask("How many tokens did gpt-4.1 use?", f"{total('tokens', gpt):,} ({total('input_tokens', gpt):,} input")
good = [r for r in rows if not r["failed"]]
ask("What is our p95 latency?", f"{millis(rank([r['latency_ms'] for r in good], 95))} over {len(good)} requests")
ttft = [r["time_to_first_token_ms"] for r in good]
ask("What is the time to first token?", f"{millis(rank(ttft, 50))} at the median, {millis(rank(ttft, 95))} at p95")
ask("average cost per request", f"{money(COST / len(rows))} ({money(COST)} for {len(rows)} requests)")
ask("average cost per user", f"{money(COST / 6)} ({money(COST)} for 6 users)")
ask("What is the average cost per session?", f"{money(COST / len(sessions))} ({money(COST)} for {len(sessions)} sessions)")
ask("What share is output?", f"{percent(total('output_tokens') / total('tokens'))} ({total('output_tokens'):,} of {total('tokens'):,} tokens")
ask("What share of the cost goes to ada?", percent(users[[u for u, _ in users].index("ada")][1] / COST))
reasoning = total("reasoning_tokens") * 8 / 1e6
ask("How much do we spend on reasoning?", f"{money(reasoning)} of", f"for {total('reasoning_tokens'):,} reasoning tokens")
kinds = dict(by(lambda r: r["type"]))
ask("embeddings vs chat", f"`chat requests` {money(kinds['chat'])} ({percent(kinds['chat'] / COST)})", f"`embeddings` {money(kinds['embedding'])}")
shares = {}
for day, _ in days:
    this = lambda r: r["day"] == day
    shares[day] = total("cached_tokens", this) / total("input_tokens", this)
high, low = max(shares, key=shares.get), min(shares, key=shares.get)
ask("cached share by day", f"highest {percent(shares[high])} ({high} ({weekday(high)}))", f"lowest {percent(shares[low])} ({low} ({weekday(low)}))")
search = lambda r: r["feature"] == "search"
ask("What did the search feature cost?", "feature `search`", f"{money(total('cost', search))} for {count(search)} requests")
ada = lambda r: r["user"] == "ada"
ask("How many requests did ada make in the last 7 days?", "user `ada`, 2026-01-19 to 2026-01-25",
    f" {count(lambda r: ada(r) and r['day'] >= '2026-01-19')},")
ask("How many users are there?", "6 users")
wed = by(lambda r: r["at"].strftime("%A"), "one")
ask("requests by weekday", f"{len(rows)} in all; highest {wed[0][1]:.0f} ({wed[0][0]}), lowest {wed[-1][1]:.0f} ({wed[-1][0]})")
chat = [r for r in rows if r["type"] == "chat"]
p = PRICES["claude-sonnet-4-5"]
sonnet = sum((r["input_tokens"] - r["cached_tokens"]) * p[0] + r["cached_tokens"] * p[1] + r["output_tokens"] * p[2] for r in chat) / 1e6
ask("What would it cost on claude-sonnet-4-5?", f"would cost {money(sonnet)} with claude-sonnet-4-5")
ask("What would it cost on llama-99-turbo?", "the price list has no `llama-99-turbo`")
span = (rows[-1]["at"] - rows[0]["at"]).total_seconds() / 86400
month = COST * 30 / span
ask("Our traffic doubles every quarter. What will it cost in 6 months?", f"{money(month)} now and {money(month * 4)} at month 6")
ask("Can we stay within €500 a month?", "in EUR", "do not convert", money(month))
ask("Can we stay within $500 a month?", f"of $500.00 a month, the log's pace takes {money(month)}", "within budget")
good_latency = [r["latency_ms"] for r in chat if not r["failed"]]
ask("Halve latency without paying more", "Speed:", "2 times faster means", "Same spend:")
top = max(rows, key=lambda r: r["cost"])
ask("What is the most expensive request?", f"{money(top['cost'])} (`{top['model']}`, {top['at']:%Y-%m-%d %H:%M} UTC, "
    f"{top['input_tokens']:,} input and {top['output_tokens']:,} output tokens, user `{top['user']}`")
ask("How many embeddings did we make?", f"{count(lambda r: r['type'] == 'embedding')}, ")
weekend = lambda r: r["at"].weekday() > 4
ask("What did weekends cost?", "Saturdays and Sundays", f"{money(total('cost', weekend))} for {count(weekend)} requests")
ask("tokens by user and model", "one column at a time: this is by user")
ask("What did marketing cost?", "called “marketing”", money(COST))
ask("Which cost center spends the most?", "no column “cost center”", "grouped by", "team")
ask("What is the weather?", "I do not understand this question", "You can ask for")
json.dump(questions, open("questions.json", "w"), indent=1, ensure_ascii=False)
print(len(questions), "questions;", len(rows), "rows; cost", COST)
