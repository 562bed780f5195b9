"""Why two values differ: what `journal.compare` and the checker say beyond the numbers.

Read in this order: `blocks` (values as arrays and in words), `pair` (what counts as the same),
`regions` (where the wrong entries lie), `relations` (the arithmetic behind a cause), `causes` (the
sentences), `exceptions` (the same for an exception's text).
"""
