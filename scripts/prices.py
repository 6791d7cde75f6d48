#!/usr/bin/env python3
"""Converts the cost map in a package of LiteLLM to Netra's compact price table.

Usage: scripts/prices.py litellm-1.110.2-py3-none-any.whl src/analyst/prices.json    (`make prices` downloads the package)

The table keeps models priced by tokens, and of each only its rates for tokens, in dollars for a million. Models with the same rates
share them (`sets`). `src/analyst/pricing/table.rs` reads it, and documents the format. The output is the same for the same package:
the date is the day on which the version was first converted.
"""

import datetime
import json
import pathlib
import re
import sys
import zipfile

MAP = "litellm/model_prices_and_context_window_backup.json"

# The rates in the order of each array; the same order as `Rates` in src/analyst/pricing/price.rs.
FIELDS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "audio_input",
    "output_cost_per_audio_token": "audio_output",
    "cache_read_input_audio_token_cost": "audio_cached",
    "input_cost_per_image_token": "image_input",
    "output_cost_per_image_token": "image_output",
}
NAMES = list(FIELDS.values())
# Readers use the second rate where the first is missing; where both are the same at every step, the first is left out. In an order
# in which a rate is compared before it is left out itself.
SAME_AS = {
    "reasoning": "output",
    "audio_input": "input",
    "audio_output": "output",
    "audio_cached": "cached",
    "image_input": "input",
    "image_output": "output",
    "cache_write_1h": "cache_write",
    "cache_write": "input",
    "cached": "input",
}
TIERS = {"": "s", "_batches": "b", "_flex": "f", "_priority": "p"}
FIELD = re.compile(rf"({'|'.join(FIELDS)})(?:_above_(\d+)(k?)_tokens)?({'|'.join(filter(None, TIERS))})?")

# Fireworks bills cached input at half the price unless stated (FIREWORKS_AI_DEFAULT_CACHE_READ_RATE_RATIO in LiteLLM).
FIREWORKS_CACHED = 0.5


def is_model(name, entry):
    """Whether the entry is a model with prices for tokens, and not a class of models, a router or a placeholder without a price."""
    if not isinstance(entry, dict) or name == "sample_spec" or re.search(r"model[-_]router$", name):
        return False
    if re.match(r"(fireworks-ai|together-ai)-", name) or entry.get("litellm_provider") == "nlp_cloud":
        return False
    return entry.get("input_cost_per_token") is not None or bool(entry.get("tiered_pricing"))


def steps(entry):
    """The rates of a model by tier and by the prompt above which they apply: {("s", 200000): {"input": 2.5}}."""
    # xAI bills its higher rates from the limit on, all others above it.
    below = 1 if entry.get("litellm_provider") == "xai" else 0
    found = {}
    for key, value in entry.items():
        match = FIELD.fullmatch(key)
        if match and isinstance(value, (int, float)) and not isinstance(value, bool):
            field, above, thousands, tier = match.groups()
            above = int(above) * (1000 if thousands else 1) - below if above else 0
            found.setdefault((TIERS[tier or ""], above), {})[FIELDS[field]] = value
    for part in entry.get("tiered_pricing") or []:
        if isinstance(part.get("range"), list):
            rates = {FIELDS[key]: value for key, value in part.items() if key in FIELDS}
            rates.setdefault("cached", rates.get("input"))
            found.setdefault(("s", int(part["range"][0])), {}).update(rates)
    standard = found.get(("s", 0), {})
    if standard.get("input") and "cached" not in standard and entry.get("litellm_provider", "").startswith("fireworks_ai"):
        standard["cached"] = standard["input"] * FIREWORKS_CACHED
    images = str(entry.get("mode")) in ("image_generation", "image_edit")
    for rates in found.values():
        # What an image model answers are images, and logs seldom count their tokens apart.
        if images and "image_output" in standard:
            rates.pop("output", None)
            if "image_output" in rates:
                rates["output"] = rates["image_output"]
        # A cache write is never free where input is not: a zero means that there is no price of its own.
        if rates.get("cache_write") == 0 and standard.get("input"):
            del rates["cache_write"]
    return found


def compact(found, off_peak):
    """The same as arrays, without what readers derive: {"s": [2.5, 10], "s200000": [5, 15], "b": [1.25, 5]}."""
    for name, other in SAME_AS.items():
        having = [rates for rates in found.values() if name in rates]
        if all(rates[name] == rates.get(other) for rates in having):
            for rates in having:
                del rates[name]
    result = {}
    for (tier, above), rates in sorted(found.items(), key=lambda item: ("sbfp".index(item[0][0]), item[0][1])):
        array = [None if name not in rates else number(rates[name] * 1e6) for name in NAMES]
        while array and array[-1] is None:
            array.pop()
        if array:
            result[tier + (str(above) if above else "")] = array
    if off_peak:
        result["off_peak"] = []
    return result


def number(value):
    value = round(value, 7)
    return int(value) if value == int(value) else value


def prefix(name, entry):
    """The group of a name: its part up to the first slash, or its provider if it has none."""
    return name[: name.index("/") + 1] if "/" in name else str(entry.get("litellm_provider", ""))


def main(package, output):
    with zipfile.ZipFile(package) as wheel:
        costs = json.loads(wheel.read(MAP))
    version = re.match(r"litellm-([^-]+)-", pathlib.Path(package).name)[1]
    output = pathlib.Path(output)
    known = json.loads(output.read_text()) if output.exists() else {}
    date = known.get("date") if known.get("version") == version else None

    sets, models = {}, {}
    for name, entry in sorted(costs.items()):
        if not is_model(name, entry):
            continue
        found = steps(entry)
        standard = found.get(("s", 0), {})
        priced = any(value for rates in found.values() for value in rates.values())
        if standard.get("input") is None or not (priced or entry.get("mode") == "moderation"):
            continue
        key = json.dumps(compact(found, entry.get("off_peak_pricing")))
        group = prefix(name, entry)
        models.setdefault(group, {})[name[len(group) :] if "/" in group else name] = sets.setdefault(key, len(sets))

    table = {
        "about": "Prices in US dollars for a million tokens, written by `make prices`; src/analyst/pricing/table.rs explains the format.",
        "source": f"The cost map of LiteLLM {version}",
        "licence": "MIT License, Copyright (c) 2023 Berri AI, https://github.com/BerriAI/litellm/blob/main/LICENSE",
        "version": version,
        "date": date or datetime.date.today().isoformat(),
        "rates": NAMES,
    }
    lines = [f"{json.dumps(key)}:{dump(value)}" for key, value in table.items()]
    lines.append('"sets":[\n' + ",\n".join(dump(json.loads(key)) for key in sets) + "\n]")
    groups = [f"{json.dumps(group)}:{dump(names)}" for group, names in sorted(models.items())]
    lines.append('"models":{\n' + ",\n".join(groups) + "\n}")
    output.write_text("{" + ",\n".join(lines) + "}\n")
    count = sum(len(names) for names in models.values())
    print(f"{output}: {count} models of LiteLLM {version} with {len(sets)} sets of prices, {output.stat().st_size // 1000} kB")


def dump(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
