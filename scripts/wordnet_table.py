"""Makes `tables/wordnet.tsv` of WordNet's own files: `python scripts/wordnet_table.py /usr/share/wordnet`.

The table holds what `read_wordnet` finds, a word a line: the word, its part of speech, its synonyms. WordNet's licence
asks that its notice stand on every copy, so it is the head of the table.
"""

import sys
from pathlib import Path

from tunewright.core.files import write_text
from tunewright.data.augmentation import tables
from tunewright.data.augmentation.wordnet import read_wordnet


def main(folder: Path) -> None:
    """Writes the table beside the module that reads it."""
    head = (folder / "data.adv").read_text("ascii").splitlines()
    notice = [f"# {line.strip().partition(' ')[2].strip()}".rstrip() for line in head if line.startswith("  ")]
    rows = [f"{word}\t{entry.part}\t{' '.join(entry.synonyms)}" for word, entry in read_wordnet(folder).items()]
    said = "# Words and their synonyms, selected and rearranged from WordNet 3.0 by scripts/wordnet_table.py."
    path = Path(tables.__file__).with_name("wordnet.tsv")
    write_text(path, "\n".join([said, "#", *notice, *rows]) + "\n")
    print(f"{len(rows)} words in {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
