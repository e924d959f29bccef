"""Attention over memory and own tokens, one query at a time, as the formula says."""

import math

import torch


def may_see(query, key, entries, options):
    """Whether token `query` sees key number `key` of [memory, own] by position alone."""
    window, positions = options.get("sliding_window"), options.get("memory_positions")
    if key < entries:
        if window is None or not options.get("memory_in_sliding_window", True):
            return True
        return abs(query - float(positions[key])) < window
    own = key - entries
    if options.get("causal") and own > query:
        return False
    return window is None or abs(query - own) < window


def naive_attention(queries, keys, values, **options):
    """The same arguments and result as `memory_attention`; rows without a visible key give zeros."""
    rows, heads, tokens, dim = queries.shape
    memory_keys, memory_values = options.get("memory_keys"), options.get("memory_values")
    entries = 0 if memory_keys is None else memory_keys.shape[2]
    if entries:
        keys, values = torch.cat([memory_keys, keys], 2), torch.cat([memory_values, values], 2)
    scaling = options.get("scaling") or 1 / math.sqrt(dim)
    group = heads // keys.shape[1]
    output = torch.zeros_like(queries)
    for row in range(rows):
        visible = visible_keys(row, tokens, entries, options)
        for head in range(heads):
            for query in range(tokens):
                seen = [key for key in visible if may_see(query, key, entries, options)]
                if not seen:
                    continue
                logits = keys[row, head // group, seen] @ queries[row, head, query] * scaling
                bias = options.get("memory_bias")
                if bias is not None and entries:
                    logits = logits + torch.stack(
                        [bias[head, key] if key < entries else bias.new_zeros(()) for key in seen]
                    )
                output[row, head, query] = logits.softmax(0) @ values[row, head // group, seen]
    return output


def visible_keys(row, tokens, entries, options):
    """Numbers of the keys of [memory, own] that are valid in this row."""
    valid, memory_valid = options.get("valid"), options.get("memory_valid")
    seen = [key for key in range(entries) if memory_valid is None or memory_valid[row, key]]
    own = list(range(tokens)) if valid is None else [token for token in range(tokens) if valid[row, token]]
    return seen + [entries + token for token in (own or range(tokens))]
