#!/usr/bin/env python3
"""Make `synonyms.txt.zst` of WordNet 3.0's database: which single words mean the same, and irregular forms.

    apt-get download wordnet-base && dpkg-deb -x wordnet-base_*.deb w     # Debian, 1:3.0-37
    python3 generate.py w/usr/share/wordnet | zstd -19 --ultra > synonyms.txt.zst

A line is `n car auto automobile machine motorcar`: the part of speech (n, v, a, r) and the words of one synset, as
they are written. Compounds, which METEOR never matches, are left out, and so are synsets in which no word could find
another. Then come lines such as `N geese goose`: irregular forms of nouns (N), verbs (V), adjectives (A) and adverbs (R).
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


groups, known = set(), set()
for name, pos in FILES.items():
    for words in synsets(sys.argv[1], name):
        words = [word for word in words if "_" not in word]
        # only words written small can be found, for METEOR compares small letters
        targets = {word for word in words if word == word.lower()}
        if any(word.lower() != target for word in words for target in targets):
            groups.add(" ".join([pos, *words]))
            known.update((pos, word.lower()) for word in words)

exceptions = set()
for name, pos in FILES.items():
    for line in open(f"{sys.argv[1]}/{name}.exc", encoding="latin-1"):
        form, *bases = line.split()
        # every form is kept that nothing is known of too: its endings must not be cut off instead
        if "_" not in form:
            exceptions.add(" ".join([pos.upper(), form, *(base for base in bases if (pos, base) in known)]))

print("\n".join(sorted(groups) + sorted(exceptions)))
