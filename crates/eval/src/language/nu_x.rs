//! Nu-X: narration and reasoning about a drive (Hint-AD, `score_caption.py`).
//!
//! An answer reads `Narration: … Reasoning: …`, each up to its first full stop. The original leaves answers that do not
//! read so out of the average, which raises it; here they count as empty captions and are counted.

use super::{CaptionScore, MeteorFiles, Pair, Splitting, captions};
use crate::EvalError;
use crate::sheet::{Part, Row, Rules, Sheet};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What people said about a sample.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Account {
    /// What the ego vehicle does.
    pub narration: String,
    /// Why.
    pub reasoning: String,
}

/// Read `Nu_X_{train,val}.json`, or answers in its layout (sample token → text).
///
/// # Errors
/// When it is not a map of samples, or an entry is not as it should be.
pub fn read<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<BTreeMap<String, T>, EvalError> {
    let document: BTreeMap<String, serde_json::Value> = crate::json::read(file, text)?;
    let entries = document.into_iter().map(|(token, value)| {
        let entry = serde_json::from_value(value).map_err(|e| EvalError::field(file, &token, e.to_string()))?;
        Ok((token, entry))
    });
    let entries: BTreeMap<String, T> = entries.collect::<Result<_, _>>()?;
    if entries.is_empty() { Err(EvalError::Empty { what: file.into() }) } else { Ok(entries) }
}

/// The narration and the reasoning of an answer, where it has both.
pub fn parse(answer: &str) -> Option<(&str, &str)> {
    // Up to the first full stop, which is in the same line.
    let part = |name: &str| {
        let mut rest = answer;
        while let Some(at) = rest.find(name) {
            rest = &rest[at + name.len()..];
            let line = rest.split('\n').next().unwrap_or("");
            if let Some((text, _)) = line.split_once('.') {
                return Some(text);
            }
        }
        None
    };
    Some((part("Narration: ")?, part("Reasoning: ")?))
}

/// Score answers.
///
/// # Errors
/// When an answer is about a sample that was not asked for, or METEOR's files cannot be read.
pub fn score(
    (file, text): (&str, &str),
    accounts: &BTreeMap<String, Account>,
    (subject, answers): (&str, &BTreeMap<String, String>),
    files: Option<&MeteorFiles>,
) -> Result<Sheet, EvalError> {
    if let Some(token) = answers.keys().find(|token| !accounts.contains_key(*token)) {
        return Err(EvalError::field(subject, token, "is not a sample of the ground truth"));
    }
    let mut sheet = Sheet::new(&Rules::named("nu-x")?, subject, file, text.as_bytes());
    sheet.coverage.asked = accounts.len();
    let mut pairs: [Vec<Pair>; 3] = Default::default();
    let mut parsed = Vec::new();
    for (token, account) in accounts {
        let answer = answers.get(token).map(|text| parse(text));
        match answer {
            Some(Some(_)) => sheet.coverage.answered += 1,
            Some(None) => sheet.coverage.miss("the answer does not parse"),
            None => sheet.coverage.miss("no answer"),
        }
        parsed.push(answer.flatten().is_some());
        let (narration, reasoning) = answer.flatten().unwrap_or_default();
        let joined = format!("{narration} {reasoning}");
        let truth = format!("{} {}", account.narration, account.reasoning);
        for (pairs, (candidate, reference)) in pairs.iter_mut().zip([
            (narration, &account.narration),
            (reasoning, &account.reasoning),
            (joined.trim(), &truth),
        ]) {
            pairs.push(Pair { candidate: candidate.into(), references: vec![reference.clone()] });
        }
    }
    sheet.rows =
        accounts.keys().map(|token| Row { id: token.clone(), cluster: token.clone(), values: vec![] }).collect();
    for (name, pairs) in ["narration ", "reasoning ", "joined "].into_iter().zip(&pairs) {
        let scores = captions::score(pairs, Splitting::PennTreebank, files)?;
        sheet.metrics.extend(scores.metrics(name));
        sheet.columns.extend(CaptionScore::columns(name, files.is_some()));
        sheet.rows.iter_mut().zip(&scores.each).for_each(|(row, each)| row.values.extend(each.values()));
    }
    if !sheet.coverage.is_whole() {
        if parsed.contains(&true) {
            sheet.parts.push(without_unparsable(&pairs, &parsed, files)?);
        }
        sheet.remarks.push("the part `parsed alone` is the original's average, which leaves the missing out".into());
    }
    Ok(sheet)
}

/// What the original prints: the answers that parse, alone.
fn without_unparsable(pairs: &[Vec<Pair>; 3], parsed: &[bool], files: Option<&MeteorFiles>) -> Result<Part, EvalError> {
    let mut metrics = Vec::new();
    let mut items = 0;
    for (name, pairs) in ["narration ", "reasoning ", "joined "].into_iter().zip(pairs) {
        let kept: Vec<Pair> = pairs.iter().zip(parsed).filter(|(_, ok)| **ok).map(|(pair, _)| pair.clone()).collect();
        items = kept.len();
        metrics.extend(captions::score(&kept, Splitting::PennTreebank, files)?.metrics(name));
    }
    Ok(Part { name: "parsed alone".into(), items, metrics })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sheet::Coverage;

    #[test]
    fn answers_are_read_up_to_the_full_stop() {
        let answer = "Narration: the car stops at 3.5 m. Reasoning: the light is red. More.";
        assert_eq!(parse(answer), Some(("the car stops at 3", "the light is red")));
        assert_eq!(parse("Narration: no stop Reasoning: none"), None);
        assert_eq!(parse("The car stops."), None);
    }

    #[test]
    fn unparsable_answers_lower_the_score_and_are_counted() {
        let account =
            |n: &str| Account { narration: format!("the {n} stops here"), reasoning: "the light is red".into() };
        let accounts: BTreeMap<String, Account> =
            ["car", "bus", "tram"].iter().map(|n| ((*n).to_string(), account(n))).collect();
        let said = |n: &str| format!("Narration: the {n} stops here. Reasoning: the light is red.");
        let mut answers: BTreeMap<String, String> = accounts.keys().map(|n| (n.clone(), said(n))).collect();
        let whole = score(("f", ""), &accounts, ("s", &answers), None).unwrap();
        assert!(whole.coverage.is_whole() && whole.metric("joined ROUGE-L") == Some(1.0));
        answers.insert("bus".into(), "I do not know".into());
        let less = score(("f", ""), &accounts, ("s", &answers), None).unwrap();
        assert_eq!(
            less.coverage,
            Coverage { asked: 3, answered: 2, missing: [("the answer does not parse".into(), 1)].into() }
        );
        assert!((less.metric("narration ROUGE-L").unwrap() - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!((less.parts[0].items, less.parts[0].metrics[4].value), (2, Some(1.0)));
    }
}
