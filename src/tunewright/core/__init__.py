"""Values, protocols, errors, seeds and the registry. Imports nothing else of Tunewright.

`records`, `errors` and `seeds` know no tensor, so that the data side and the command line start fast;
`tensors` holds what flows through the loop.
"""
