"""Writes fixtures/tokenizers: tiny tokenizers of every format, and the tokens of odd texts.

README.md beside this file has the format.
"""

import gzip
import io
import json
import shutil
from pathlib import Path

import open_clip.tokenizer
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertTokenizer, CLIPTokenizer
from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy
from transformers.models.siglip2.tokenization_siglip2 import Siglip2Tokenizer

ROOT = Path(__file__).parent / "fixtures" / "tokenizers"

# The training texts of the tokenizers.
CORPUS = """
a photo of a cat. a photo of a dog. a photo of the large building. a bad photo of many birds.
a blurry picture of a small red car parked in front of an old house near the river.
the quick brown fox jumps over the lazy dog while seven wizards box and quiz them with vim.
two people are riding bicycles along the sandy beach under a cloudy sky in the evening.
a drawing of an elephant, a rendering of an airplane, and a sculpture of a horse's head.
it's what they've seen: she'll go, we're here, i'm not, he'd rather stay; isn't that so?
in 1969 about 650 million people watched 2 men walk on the moon, 384400 kilometres away.
le garçon mange une crêpe à la crème brûlée. der Käfer läuft über die große Straße.
быстрая коричневая лиса прыгает через ленивую собаку. 猫と犬の写真。 고양이 사진.
embedding sentences is useful for searching, clustering, classification and translation.
""".strip().split("\n")

TEXTS = [
    "a photo of a cat",
    "A Photo of a CAT!",
    "",
    " ",
    "\t\n \r\n",
    "a",
    "  leading, trailing and   several    spaces  ",
    "tabs\tand\nlines\r\nof\rtext",
    "it's what they've seen: she'll, WE'RE, I'M, he'd, rock'n'roll 'tis",
    "in 1969, 650 million; 3.14159 and 1,000,000",
    "½ ² ³ Ⅳ ٣ ๓",
    "le garçon mange une crêpe à la crème brûlée",
    "der Käfer läuft über die GROẞE STRASSE, straße",
    "decomposed: cafe\u0301 A\u030angstro\u0308m",
    "быстрая лиса ПРЫГАЕТ; ΟΔΥΣΣΕΥΣ όδος",
    "İstanbul IĞDIR ıi",
    "猫と犬の写真。東京タワー",
    "고양이 사진",
    "สวัสดีชาวโลก नमस्ते दुनिया مرحبا بالعالم",
    "mixed猫cat犬dog",
    "emoji 😀 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 done",
    "zero\u200bwidth\u200cjoin\u200ders\u2060and\ufeffmarks",
    "no-break\u00a0space, thin\u2009space, ideographic\u3000space",
    "control \x00\x01\x02\x1b\x7f characters\x1f",
    "next\x85line\u2028and\u2029paragraph",
    "“curly” ‘quotes’ – dashes — and … dots",
    "ﬁne ﬂowers ﬀ ﬃ ﬆ ĳ Ǆ",
    "Ｆｕｌｌ ｗｉｄｔｈ １２３ ｶﾀｶﾅ",
    "snake_case camelCase kebab-case http://example.org/a?b=c&d=e#f user@example.org",
    "#hashtag @name $12.50 50% (a) [b] {c} <d> ~e^ `f` |g| \\h\\ /i/",
    "!!! ??? ... ,,, ;;; --- ___ ***",
    "&amp; &lt;b&gt; &quot;x&quot; &#39;y&#39; &eacute; &nbsp;z &amp;amp;",
    "[CLS] [SEP] [MASK] [PAD] [UNK] and <s> </s> <unk> <pad>",
    "##ing un##affable",
    "wordwithnospaces" * 20,
    "x" * 101,
    "y" * 600,
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝒎𝒂𝒕𝒉 Ⓒⓘⓡⓒⓛⓔ",
    # And none unassigned: BERT's references themselves differ about it.
    "private \ue000 use, tag \U000e0061",
    "replacement \ufffd character",
    "à́̂̃ a\u0300\u0316\u0301 stacked",
    "Ω Å K ﷺ ™ ℃ ㎏",
    "the quick brown fox jumps over the lazy dog while seven wizards box and quiz them with vim " * 4,
]


def trained(tokenizer: Tokenizer, trainer) -> Tokenizer:
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    return tokenizer


def vocabulary(tokenizer: Tokenizer) -> list[str]:
    return [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]


def clip_merges() -> list[str]:
    """A list of merges like CLIP's: of lowercase words with marked ends."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"), "removed", True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        show_progress=False,
        end_of_word_suffix="</w>",
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    model = json.loads(trained(tokenizer, trainer).to_str())["model"]
    return [" ".join(pair) for pair in model["merges"]]


def write_clip(folder: Path) -> dict:
    merges = clip_merges()
    packed = io.BytesIO()
    text = "\n".join(["#version: 0.2 - a tiny list of merges", *merges])
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
        file.write(text.encode())
    (folder / "merges.txt.gz").write_bytes(packed.getvalue())
    (folder / "merges.txt").write_text(text, encoding="utf-8")
    reference = open_clip.tokenizer.SimpleTokenizer(bpe_path=str(folder / "merges.txt.gz"))

    def encode(text: str, limit: int) -> list[int]:
        """As its `__call__` does it, without the padding."""
        tokens = [reference.sot_token_id, *reference.encode(text), reference.eot_token_id]
        if len(tokens) > limit:
            tokens = [*tokens[: limit - 1], reference.eot_token_id]
        padded = reference([text], context_length=limit)[0].tolist()
        assert padded == tokens + [0] * (limit - len(tokens)), text
        return tokens

    vocab = {token: index for token, index in reference.encoder.items()}
    renamed = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocab = {renamed.get(token, token): index for token, index in vocab.items()}
    fast = CLIPTokenizer(vocab=vocab, merges=[tuple(merge.split()) for merge in merges])
    fast.backend_tokenizer.save(str(folder / "clip.json"))
    return {
        "clip-merges": ({"clip_bpe": {"merges": "merges.txt.gz"}}, 77, encode),
        "clip-merges-plain": ({"clip_bpe": {"merges": "merges.txt"}}, 16, encode),
        "clip-json": ({"json": {"file": "clip.json"}}, 77, hugging_face(fast)),
    }


def hugging_face(tokenizer):
    return lambda text, limit: tokenizer(text, truncation=True, max_length=limit)["input_ids"]


def write_bert(folder: Path) -> dict:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    found = {}
    for name, lowercase in [("uncased", True), ("cased", False)]:
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=500, show_progress=False, special_tokens=special)
        vocab = vocabulary(trained(tokenizer, trainer))
        path = folder / f"vocab-{name}.txt"
        path.write_text("\n".join(vocab) + "\n", encoding="utf-8")
        if lowercase:
            # The Python implementation, which is independent of ours.
            reference = BertTokenizerLegacy(str(path), do_lower_case=True)
        else:
            # The Python implementation composes accents, unlike the one in use.
            index = {token: number for number, token in enumerate(vocab)}
            reference = BertTokenizer(vocab=index, do_lower_case=False)
        how = {"word_piece": {"vocab": path.name, "lowercase": lowercase}}
        found[f"bert-{name}"] = (how, 64, hugging_face(reference))
        if lowercase:
            tokenizer.post_processor = processors.TemplateProcessing(
                single="[CLS] $A [SEP]",
                pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
            )
            # As published files have it: what a plan says instead.
            tokenizer.enable_truncation(7)
            tokenizer.enable_padding(length=9)
            tokenizer.save(str(folder / "bert.json"))
            found["bert-json"] = ({"json": {"file": "bert.json"}}, 64, hugging_face(reference))
    return found


def library(tokenizer: Tokenizer):
    def encode(text: str, limit: int) -> list[int]:
        tokenizer.no_padding()
        tokenizer.enable_truncation(limit)
        return tokenizer.encode(text).ids

    return encode


def write_others(folder: Path) -> dict:
    found = {}
    # T5's and SigLIP's kind: SentencePiece unigrams.
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Nmt(),
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"[!\"#$%&'()*+,\-./:;<=>?@\[\]^_`{|}~]"), ""),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=400, show_progress=False, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>"
    )
    trained(tokenizer, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.enable_padding(length=64, pad_id=1, pad_token="</s>")
    tokenizer.save(str(folder / "unigram.json"))
    found["unigram"] = ({"json": {"file": "unigram.json"}}, 64, library(tokenizer))

    # RoBERTa's kind: bytes, with the pattern of GPT-2 that looks ahead.
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        show_progress=False,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    trained(tokenizer, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer.save(str(folder / "bytes.json"))
    found["bytes"] = ({"json": {"file": "bytes.json"}}, 64, library(tokenizer))

    # Gemma's kind, which SigLIP 2 has: pieces, with bytes where there is none.
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=700, show_progress=False, special_tokens=special)
    plain = Tokenizer(models.BPE(unk_token="<unk>"))
    plain.normalizer = normalizers.Replace(" ", "▁")
    plain.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    model = json.loads(trained(plain, trainer).to_str())["model"]
    gemma = Siglip2Tokenizer(vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]])
    tokenizer = gemma.backend_tokenizer
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    tokenizer.decoder = decoders.ByteFallback()
    tokenizer.save(str(folder / "pieces.json"))
    found["pieces"] = ({"json": {"file": "pieces.json"}}, 64, library(tokenizer))
    return found


def main() -> None:
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir(parents=True)
    cases = []
    for write in (write_clip, write_bert, write_others):
        for name, (how, limit, encode) in write(ROOT).items():
            ids = [encode(text, limit) for text in TEXTS]
            cases.append({"name": name, "format": how, "max_tokens": limit, "ids": ids})
            cut = sum(len(row) == limit for row in ids)
            print(f"{name}: {sum(map(len, ids))} tokens, {cut} texts cut, the largest token {max(map(max, filter(None, ids)))}")
            assert cut > 0 and len({tuple(row) for row in ids}) > len(TEXTS) // 2
    lines = ",\n".join("    " + json.dumps(case) for case in cases)
    texts = ",\n".join("    " + json.dumps(text) for text in TEXTS)
    (ROOT / "cases.json").write_text(f'{{\n  "texts": [\n{texts}\n  ],\n  "tokenizers": [\n{lines}\n  ]\n}}\n')


if __name__ == "__main__":
    main()
