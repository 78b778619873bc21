#!/usr/bin/env python3
"""Make `pairs.jsonl` and `stems.tsv`: what the libraries of OpenAI's grader image say of random texts.

    python3 -m venv v && v/bin/pip install rapidfuzz==3.10.1 nltk==3.9.1 rouge-score==0.1.2
    apt-get download wordnet-base && dpkg-deb -x wordnet-base_*.deb w     # WordNet 3.0, Debian 1:3.0-37
    v/bin/python generate_pairs.py w/usr/share/wordnet

The database lacks two files that nltk wants: `lexnames` is made here, and the map between versions of WordNet, which
METEOR does not use, is left out. ROUGE is asked with the tokeniser below, which knows words of any script: for ASCII it
is rouge-score's own.
"""
import json
import random
import re
import shutil
import sys
import tempfile
import unicodedata
import warnings

warnings.filterwarnings("ignore")

from nltk.corpus.reader.wordnet import WordNetCorpusReader
from nltk.stem.porter import PorterStemmer
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from nltk.translate.gleu_score import sentence_gleu
from nltk.translate.meteor_score import single_meteor_score
from rapidfuzz import fuzz, utils
from rouge_score import rouge_scorer

LEXNAMES = """adj.all:3 adj.pert:3 adv.all:4 noun.Tops:1 noun.act:1 noun.animal:1 noun.artifact:1 noun.attribute:1
noun.body:1 noun.cognition:1 noun.communication:1 noun.event:1 noun.feeling:1 noun.food:1 noun.group:1 noun.location:1
noun.motive:1 noun.object:1 noun.person:1 noun.phenomenon:1 noun.plant:1 noun.possession:1 noun.process:1 noun.quantity:1
noun.relation:1 noun.shape:1 noun.state:1 noun.substance:1 noun.time:1 verb.body:2 verb.change:2 verb.cognition:2
verb.communication:2 verb.competition:2 verb.consumption:2 verb.contact:2 verb.creation:2 verb.emotion:2 verb.motion:2
verb.perception:2 verb.possession:2 verb.social:2 verb.stative:2 verb.weather:2 adj.ppl:3""".split()


class WordNet(WordNetCorpusReader):
    def map_wn(self, version="wordnet"):
        return None


def wordnet(folder):
    copy = tempfile.mkdtemp()
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    with open(f"{copy}/lexnames", "w") as out:
        for i, name in enumerate(LEXNAMES):
            out.write(f"{i:02d}\t" + name.replace(":", "\t") + "\n")
    return WordNet(copy, None)


def is_sign(c):
    name = unicodedata.name(c, "")
    return name.startswith(("CJK UNIFIED", "HIRAGANA LETTER", "KATAKANA LETTER"))


class Tokenizer:
    def tokenize(self, text):
        tokens, word = [], ""
        for c in text.lower():
            letter = unicodedata.category(c)[0] in "LNM"
            if letter and not is_sign(c):
                word += c
                continue
            if word:
                tokens.append(word)
            word = ""
            if letter:
                tokens.append(c)
        return tokens + ([word] if word else [])


WORDS = """the a of to and is was in it for on with The IS refund refunds refunded refunding order orders ordered car
automobile auto buy purchase bought purchases run running runs ran quick quickly fast rapidly happy happily glad big large
small little house home houses dog dogs cat cats Paris London city cities begin start started beginning answer reply
replied child children goose geese man men better good best happiness relational rational generalizations oscillators
tie ties tying dying lying sky skies news proceed agreed plastered motoring hopping falling hissing controlling
dependent adjustment archaeology possibly enjoy enjoying 42 4242 3.14 12 EUR it's o'clock e-mail foo_bar http://a.b/c
naïve café Straße İstanbul ΣΊΣΥΦΟΣ привет мир हिन्दी 日本語 東京タワー 、 — ( ) ! ? ... ... , , . . ; :""".split()


def sentence(rng, most):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(0, most)))


def edited(rng, text):
    words = text.split(" ")
    for _ in range(rng.randint(0, 4)):
        at = rng.randrange(len(words) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            words.insert(at, rng.choice(WORDS))
        elif words and kind == 1:
            del words[at - 1]
        elif words and kind == 2:
            words[at - 1] = rng.choice(WORDS)
        elif words and kind == 3:
            word = words[at - 1]
            cut = rng.randrange(len(word) + 1)
            words[at - 1] = word[:cut] + rng.choice(["", "s", "x", " "]) + word[cut + 1 :]
        else:
            rng.shuffle(words)
    return " ".join(words)


def letters(rng, most):
    alphabet = rng.choice(["ab", "abc ", "abcdefgh  ", "aäßé–日 "])
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(0, most)))


def pair(rng):
    kind = rng.randrange(10)
    if kind < 4:
        text = sentence(rng, 12)
        texts = text, edited(rng, text)
    elif kind < 6:
        texts = sentence(rng, 8), sentence(rng, 8)
    elif kind < 8:
        # one in the other, more or less: the best place counts
        inner = sentence(rng, 4) if kind == 6 else letters(rng, 20)
        texts = edited(rng, inner), sentence(rng, 6) + rng.choice(["", " "]) + inner + sentence(rng, 8)
    elif kind == 8:
        texts = letters(rng, 30), letters(rng, 30)
    else:
        # longer than a word of a machine
        texts = letters(rng, 100), letters(rng, rng.choice([100, 250]))
    return texts if rng.random() < 0.5 else texts[::-1]


def scores(a, b, net, rouge):
    ta, tb = a.split(), b.split()
    smooth = SmoothingFunction().method1
    kinds = rouge.score(b, a)
    return [
        fuzz.WRatio(a, b, processor=utils.default_process) / 100,
        sentence_bleu([tb], ta, smoothing_function=smooth) if ta else 0.0,
        sentence_gleu([tb], ta),
        single_meteor_score(tb, ta, wordnet=net) if ta and tb else 0.0,
        *(kinds[k].fmeasure for k in ("rouge1", "rouge2", "rouge3", "rouge4", "rouge5", "rougeL")),
    ]


def main():
    net = wordnet(sys.argv[1])
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 20261128)
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 2500
    kinds = ["rouge1", "rouge2", "rouge3", "rouge4", "rouge5", "rougeL"]
    rouge = rouge_scorer.RougeScorer(kinds, tokenizer=Tokenizer())
    with open("pairs.jsonl", "w") as out:
        for _ in range(count):
            a, b = pair(rng)
            row = [a, b, [round(score, 9) for score in scores(a, b, net, rouge)]]
            out.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
    stem = PorterStemmer().stem
    words = sorted({word.lower() for word in net.all_lemma_names() if re.fullmatch(r"[a-z'-]+", word)})
    everything = len(sys.argv) > 4
    with open("stems.tsv", "w") as out:
        for word in words if everything else rng.sample(words, 1500):
            for form in (word, word + "s", word + "ed", word + "ing") if everything else (word, word + rng.choice(["s", "ed", "ing", "ly"])):
                out.write(f"{form}\t{stem(form)}\n")


main()
