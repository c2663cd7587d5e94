"""The names of `tunewright data`'s commands and their options, as scripts rely on them."""

_NAMES = {
    "data check": "source --text --label --pair --task --seed --out --gate --set --json",
    "data card": "source --text --label --pair --task --seed --out --gate --set --json",
    "data split": (
        "source --text --label --pair --task --seed --out --by --column --stratify --folds --validation "
        "--test --manifest --freeze --set --json"
    ),
    "data explain": "folder row --most --json",
    "data diff": "first second --json",
    "data export": "source --out --to --instruction --text --label --pair --task --seed --set --json",
    "data clean": "source --out --step --text --label --pair --task --seed --set --json",
    "data agree": (
        "file --item --annotator --label --annotators --text --time --level --order --seed --resamples --least --json"
    ),
    "data arbitrate": (
        "file --item --annotator --label --annotators --text --level --order --method --below --spread-above "
        "--opinion --gold --smoothing --out --truth --truth-label --json"
    ),
    "data augment": (
        "source --text --label --pair --task --seed --out --operators --copies --quota --ablate --keep-anyway "
        "--gates --protect --writer --encoder --whole --limit --only-new --set --json"
    ),
    "data dedup": (
        "source --text --label --pair --seed --out --near --keep --conflicts --to --semantic --cosine "
        "--processes --set --json"
    ),
    "data leaks": "source --text --label --pair --task --seed --against --near --semantic --cosine --json",
    "data score": "source --text --label --pair --task --seed --by --language --out --set --json",
    "data balance": "source --text --label --pair --task --seed --by --plan --effective --power --out --set --json",
    "data queue export": (
        "file --out --item --annotator --label --annotators --text --level --order --method --below "
        "--spread-above --opinion --gold --smoothing --labels --json"
    ),
    "data queue review": "queue_file --by --answers --json",
    "data queue import": "queue_file --by --answers --asked --json",
    "data suspects find": (
        "source --text --label --pair --task --seed --probe --probabilities --method --rounds --top --out --set --json"
    ),
    "data suspects review": "file --by --json",
    "data suspects apply": "source file --out --text --label --pair --task --seed --set --json",
}
DATA = {name: options.split() for name, options in _NAMES.items()}
