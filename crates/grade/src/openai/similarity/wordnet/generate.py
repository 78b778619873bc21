#!/usr/bin/env python3
"""Make `synonyms.txt.zst` of WordNet 3.0's database: which single words mean the same, and irregular forms.

    apt-get download wordnet-base && dpkg-deb -x wordnet-base_*.deb w     # Debian, 1:3.0-37
    python3 generate.py w/usr/share/wordnet | zstd -19 --ultra > synonyms.txt.zst

A line is `n car auto automobile machine motorcar`: the part of speech (n, v, a, r) and the words of one synset, as
they are written. Compounds, which METEOR never matches, are left out. A word alone on its line is there for its inflected
forms. Then come lines such as `N geese goose`: irregular forms of nouns (N), verbs (V), adjectives (A) and adverbs (R).
Lines are sorted, which compresses better.
"""
import re
import sys

FILES = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}


def synsets(folder, name):
    for line in open(f"{folder}/data.{name}", encoding="latin-1"):
        if line.startswith(" "):
            continue
        fields = line.split(" ")
        words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
        # adjectives may carry a marker of their place: `galore(ip)`
        yield [re.sub(r"\(.*\)$", "", word) for word in words]


# words by part of speech that some other word finds, or that only their inflected forms find
groups, targets = set(), set()
for name, pos in FILES.items():
    for words in synsets(sys.argv[1], name):
        words = [word for word in words if "_" not in word]
        # only words written small can be found, for METEOR compares small letters
        small = {word for word in words if word == word.lower()}
        targets.update((pos, word) for word in small)
        if any(word.lower() != target for word in words for target in small):
            groups.add(" ".join([pos, *words]))
grouped = {(line[0], word) for line in groups for word in line[2:].split(" ")}
known = {(pos, word.lower()) for pos, word in grouped} | targets
groups.update(f"{pos} {word}" for pos, word in targets - grouped)

exceptions = {}
for name, pos in FILES.items():
    for line in open(f"{sys.argv[1]}/{name}.exc", encoding="latin-1"):
        form, *bases = line.split()
        # every form is kept that nothing is known of too: its endings must not be cut off instead;
        # of two lines the last counts, as it does for nltk
        if "_" not in form:
            exceptions[pos.upper(), form] = [base for base in bases if (pos, base) in known]
exceptions = {" ".join([pos, form, *bases]) for (pos, form), bases in exceptions.items()}

print("\n".join(sorted(groups) + sorted(exceptions)))
