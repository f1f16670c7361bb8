//! Abbreviations, and whether a sentence ends with one.

use super::marks::tag;
use super::text::{Text, is_space};

/// Single letters with dots, the last dot too: `a.`, `U.S.`, `Canada-U.S.`
pub(super) fn acronym(text: Text, i: usize) -> Option<usize> {
    let nations = ["canada-u.s.", "sino-u.s.", "korean-u.s.", "eu-u.s.", "japan-u.s.", "non-u.s."];
    let two = ["u.s.-u.s.s.r.", "u.s.-u.k."];
    let named = nations.iter().chain(&two).find_map(|name| text.literal(i, name));
    let mut end = i;
    let mut dotted = None;
    while text.get(end).is_some_and(|c| c.is_ascii_alphabetic()) && text.is(end + 1, '.') {
        end += 2;
        dotted = Some(end);
    }
    named.max(dotted)
}

/// How far the text must be seen to know that a sentence begins after an acronym.
pub(super) fn sentence_opener(text: Text, end: usize) -> Option<usize> {
    const OPENERS: [&str; 48] = [
        "About",
        "According",
        "Additionally",
        "After",
        "An",
        "A",
        "As",
        "At",
        "But",
        "Earlier",
        "He",
        "Her",
        "Here",
        "However",
        "If",
        "In",
        "It",
        "Last",
        "Many",
        "More",
        "Mr.",
        "Ms.",
        "Now",
        "Once",
        "One",
        "Other",
        "Our",
        "She",
        "Since",
        "So",
        "Some",
        "Such",
        "That",
        "The",
        "Their",
        "Then",
        "There",
        "These",
        "They",
        "This",
        "We",
        "When",
        "While",
        "What",
        "Yet",
        "You",
        "Did",
        "During",
    ];
    let blank = |c: char| is_space(c) || c == '\n';
    let start = text.run(end, blank);
    if start == end {
        return None;
    }
    let opener = |word: &&str| {
        let first = text.get(start) == word.chars().next();
        let after = text.literal(start, &word.to_ascii_lowercase()).filter(|_| first)?;
        text.get(after).is_some_and(|c| blank(c) || c == '?' || c == '!').then_some(after + 1)
    };
    let opened = OPENERS.iter().filter_map(opener).max();
    let tagged = tag(text, start).filter(|after| text.get(*after).is_some_and(|c| blank(c) || c == '?' || c == '!'));
    opened.max(tagged.map(|after| after + 1))
}

/// How far the text must be seen to know that a sentence ends here: two blanks, a capital or a tag after a blank.
pub(super) fn sentence_end(text: Text, end: usize) -> Option<usize> {
    let blank = |c: char| is_space(c) || c == '\n';
    let next = end + 1;
    text.get(end).filter(|c| blank(*c))?;
    let ends = text.get(next).is_some_and(|c| blank(c) || c.is_ascii_uppercase());
    tag(text, next).or_else(|| ends.then_some(next + 1))
}

/// Known abbreviations with their full stop: as one that stands before a number, as one that may end a sentence, as a
/// title.
pub(super) fn abbreviation(text: Text, i: usize) -> Option<(Option<usize>, Option<usize>, Option<usize>)> {
    for (special, title) in [("ph.d.", false), ("ed.d.", false), ("a.k.a.", true)] {
        if let Some(end) = text.literal(i, special) {
            return Some((None, (!title).then_some(end), title.then_some(end)));
        }
    }
    let (letters, length) = text.ascii_word(i);
    let end = i + length;
    if length == 0 || !text.is(end, '.') {
        return None;
    }
    let word = std::str::from_utf8(&letters[..length]).unwrap_or("");
    let capital = text.get(i).is_some_and(|c| c.is_ascii_uppercase());
    let found = Some(end + 1);
    match word {
        "no" | "nos" | "prop" | "ca" | "fig" | "figs" | "art" | "pp" | "op" => Some((found, None, None)),
        "az" | "ark" | "del" | "ill" | "la" | "mass" | "miss" | "ore" | "pa" | "tex" | "wash" if !capital => None,
        "jan" | "feb" | "mar" | "apr" | "jun" | "jul" | "aug" | "sep" | "sept" | "oct" | "nov" | "dec" | "mon"
        | "tue" | "tues" | "wed" | "thu" | "thurs" | "fri" | "ala" | "ariz" | "calif" | "colo" | "conn" | "ct"
        | "dak" | "fla" | "ga" | "ind" | "kan" | "kans" | "ky" | "md" | "mich" | "minn" | "mo" | "mont" | "neb"
        | "nev" | "okla" | "penn" | "tenn" | "va" | "vt" | "wis" | "wisc" | "wyo" | "inc" | "co" | "cos" | "corp"
        | "pty" | "ptys" | "ppty" | "pte" | "ptes" | "ppte" | "pptys" | "pptes" | "ltd" | "plc" | "rt" | "bancorp"
        | "bhd" | "assn" | "univ" | "intl" | "sys" | "tel" | "est" | "ext" | "sq" | "jr" | "sr" | "bros" | "esq"
        | "etc" | "al" | "seq" | "bldg" | "blvd" | "rd" | "az" | "ark" | "del" | "ill" | "la" | "mass" | "miss"
        | "ore" | "pa" | "tex" | "wash" => Some((None, found, None)),
        "ph" | "ft" | "mr" | "mrs" | "ms" | "dr" | "drs" | "prof" | "profs" | "sen" | "sens" | "rep" | "reps"
        | "atty" | "attys" | "lt" | "col" | "gen" | "messrs" | "gov" | "govs" | "adm" | "rev" | "maj" | "sgt"
        | "cpl" | "pvt" | "mt" | "capt" | "st" | "ste" | "ave" | "pres" | "lieut" | "hon" | "brig" | "cmdr"
        | "comdr" | "pfc" | "spc" | "supt" | "supts" | "det" | "adj" | "adv" | "asst" | "assoc" | "ens" | "insp"
        | "mlle" | "mme" | "msgr" | "sfc" | "invt" | "elec" | "natl" | "mtg" | "mfg" | "dept" | "vs" | "alex"
        | "wm" | "jos" | "cie" | "cf" | "treas" => Some((None, None, found)),
        _ => None,
    }
}
