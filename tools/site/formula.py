"""Turns the formulas of the registry, which are lines of text, into mathematics between dollar signs.

In `dy/da = 1 where a > b, else 0` the formulas `dy/da = 1`, `a > b` and `0` become TeX; words stay words, so that a line can
still break between them.
"""

from __future__ import annotations

import re

TOKEN = re.compile(
    r"d(?P<above>[a-z]\w*)/d(?P<below>[a-z]\w*)|(?P<code>[A-Za-z_]\w*(?:\.\w+)+(?![\w(])|\w+\[\w+\])|(?P<name>[A-Za-z_]\w*'?)"
    r"|(?P<number>\d+(?:\.\d+)?)|(?P<above2>[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿᵃᵇˣᵀ]+)|(?P<other><=|>=|\.\.\.|\S)|(?P<space>\s+)",
    re.ASCII,
)
RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿᵃᵇˣᵀ", "0123456789+-nabxT", strict=True))
#: Names that are written as operators, as TeX knows them.
KNOWN = {"exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "min", "max", "det"}
GREEK = {
    "alpha": r"\alpha", "beta": r"\beta", "gamma": r"\gamma", "pi": r"\pi", "eps": r"\varepsilon", "Gamma": r"\Gamma",
    "π": r"\pi", "α": r"\alpha", "β": r"\beta", "Φ": r"\Phi", "φ": r"\varphi", "Σ": r"\sum ",
}  # fmt: skip
SIGNS = {
    "<=": r"\le ", ">=": r"\ge ", "...": r"\ldots ", "·": r"\cdot ", "*": r"\cdot ", "@": r"\,", "⊗": r"\otimes ",
    "±": r"\pm ", "∞": r"\infty ", "×": r"\times ", "∘": r"\odot ", "≤": r"\le ", "≥": r"\ge ", "∂": r"\partial ", "%": r"\bmod ",
}  # fmt: skip
#: Letters that are words of English and not variables, where they stand between words.
WORDS = {"a"}


def tokens(text: str) -> list[tuple[str, str]]:
    """Kind and text of each token; kinds are names of the groups above."""
    found = []
    for match in TOKEN.finditer(text):
        kind = str(match.lastgroup)
        found.append(("ratio" if kind == "below" else kind, match[0]))
    return found


def is_variable(name: str, parameters: set[str]) -> bool:
    """Whether a name stands for a value: one letter, perhaps with a number or a d before it, or a parameter."""
    return (
        name in KNOWN
        or bool(re.fullmatch(r"d?[A-Za-z]\d?'?|g[A-Zw]|[a-z]_[a-z]", name))
        or name in parameters
        or name.removeprefix("d") in parameters
        or name in GREEK
    )


def prose(words: list[tuple[str, str]], at: int) -> bool:
    """Whether the letter `a` or `i` is a word here: it comes before another word and not after a sign."""
    after = next((text for kind, text in words[at + 1 :] if kind != "space"), "")
    kinds = [kind for kind, _ in words[at + 1 :] if kind != "space"]
    return bool(kinds) and kinds[0] == "name" and len(after) > 2 and after not in {"where", "else", "and", "for", "is"}


def name(text: str, call: bool) -> str:
    """A name in TeX."""
    if text in GREEK:
        return GREEK[text] + (" " if GREEK[text][-1].isalpha() else "")
    if text in KNOWN:
        return rf"\{text} "
    if match := re.fullmatch(r"(g)([A-Z]|w)|([a-z])_([a-z])", text):
        return "{}_{}".format(*filter(None, match.groups()))
    if re.fullmatch(r"d?[A-Za-z]\d?'?", text):
        letter = text[1:] if text[0] == "d" and len(text) > 1 and text[1].isalpha() else text
        shown = letter[0] + (f"_{letter[1]}" if letter[1:].isdigit() else letter[1:])
        return (r"\mathrm{d}" if letter != text else "") + shown
    return (rf"\operatorname{{{text}}}" if call else rf"\mathrm{{{text}}}").replace("_", r"\_")


def groups(text: str) -> str:
    """`sqrt(…)` as a root and `^(…)` as a power, once parentheses are known."""
    for start, left, right in ((r"\operatorname{sqrt}(", r"\sqrt{", "}"), ("^(", "^{", "}"), ("√(", r"\sqrt{", "}")):
        while (at := text.find(start)) >= 0:
            depth, end = 1, at + len(start)
            while end < len(text) and depth:
                depth += {"(": 1, ")": -1}.get(text[end], 0)
                end += 1
            text = text[:at] + left + text[at + len(start) : end - 1] + right + text[end:]
    text = re.sub(r"√(\\[a-z]+|\w)", r"\\sqrt{\1}", text)
    text = re.sub(r"\^-\|(\w)\|", r"^{-|\1|}", text)
    return re.sub(r"\^(-?(?:\d+|\\mathrm\{\w+\}|[a-zA-Z]))(?![\w}])", r"^{\1}", text)


def ratio(text: str) -> str:
    above, below = text.split("/")
    return rf"\frac{{\partial {name(above[1:], False)}}}{{\partial {name(below[1:], False)}}}"


def typeset(text: str, parameters: set[str]) -> str:
    """The text with its mathematics in TeX between dollar signs."""
    out: list[str] = []
    run: list[tuple[str, str]] = []
    words, depth = tokens(text), 0
    for at, (kind, word) in enumerate(words):
        call = words[at + 1 : at + 2] == [("other", "(")]
        plain = (
            kind == "name"
            and not call
            and (not is_variable(word, parameters) or (word in WORDS and not depth and prose(words, at)))
        )
        if (kind == "code" or plain) and depth:
            run.append(("name", rf"\text{{{word}}}".replace("_", r"\_")))
        elif kind == "code" or plain or (kind == "other" and word in ",;:" and not depth):
            out += [formula(run), f"`{word}`" if kind == "code" else word]
            run = []
        else:
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(word, 0)
            run.append((kind, word if kind == "space" else piece(kind, word, call)))
    out.append(formula(run))
    # Words in a row are one text, with spaces between them.
    joined = re.sub(r"(?<=[^\\])\}\\, \\text\{", " ", "".join(out))
    return re.sub(r" +([,;:])", r"\1", re.sub(r"  +", " ", joined)).strip()


def formula(run: list[tuple[str, str]]) -> str:
    """A run of tokens between dollar signs; spaces at its ends stay outside."""
    shown = ""
    for at, (kind, piece_) in enumerate(run):
        if kind != "space":
            shown += piece_
            continue
        before, (after, what) = run[at - 1] if at else ("", ""), run[at + 1] if at + 1 < len(run) else ("", "")
        factor = before[0] in {"name", "number", "above2"} or before[1] in {")", "|"}
        shown += r"\, " if factor and (after in {"name", "number"} or what == "(") else " "
    inner = groups(shown.strip())
    left, right = " " * shown.startswith(" "), " " * (len(shown) > 1 and shown.endswith(" "))
    if not inner:
        return " " if shown else ""
    return left + (f"${inner}$" if inner.strip("., -") else inner) + right


def piece(kind: str, word: str, call: bool) -> str:
    """A token in TeX."""
    if kind == "ratio":
        return ratio(word)
    if kind == "above2":
        return "^{" + "".join(RAISED[c] for c in word) + "}"
    if kind == "name":
        return name(word, call)
    found = GREEK.get(word, SIGNS.get(word, word))
    return found + " " * (found[-1].isalpha() and found[0] == "\\")
