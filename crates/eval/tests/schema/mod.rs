//! The words of JSON Schema that `docs/schemas` uses, and documents held against them. The command line's tests use it too.

use serde_json::Value;

fn schema(name: &str) -> Value {
    let path = format!("{}/../../docs/schemas/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("a schema uses type {other}"),
    }
}

/// The words of JSON Schema that our schemas use; any other word is refused.
fn validate(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    for (word, rule) in schema.as_object().unwrap() {
        let fine = match word.as_str() {
            "$schema" | "$defs" | "title" | "description" => true,
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                validate(root, &root["$defs"][name], value, at)?;
                true
            }
            "const" => value == rule,
            "type" => match rule {
                Value::String(name) => has_type(value, name),
                names => names.as_array().unwrap().iter().any(|n| has_type(value, n.as_str().unwrap())),
            },
            "required" => rule.as_array().unwrap().iter().all(|k| value.get(k.as_str().unwrap()).is_some()),
            "properties" => {
                for (key, inner) in value.as_object().unwrap() {
                    if let Some(rule) = rule.get(key) {
                        validate(root, rule, inner, &format!("{at}.{key}"))?;
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = |key: &str| schema.get("properties").is_some_and(|p| p.get(key).is_some());
                for (key, inner) in value.as_object().unwrap().iter().filter(|(key, _)| !known(key)) {
                    if rule == &Value::Bool(false) {
                        return Err(format!("{at}.{key} is not in the schema"));
                    }
                    validate(root, rule, inner, &format!("{at}.{key}"))?;
                }
                true
            }
            "items" => {
                for (i, inner) in value.as_array().unwrap().iter().enumerate() {
                    validate(root, rule, inner, &format!("{at}[{i}]"))?;
                }
                true
            }
            "minItems" => value.as_array().unwrap().len() as u64 >= rule.as_u64().unwrap(),
            "maxItems" => value.as_array().unwrap().len() as u64 <= rule.as_u64().unwrap(),
            other => return Err(format!("{at}: the test does not know the word {other}")),
        };
        if !fine {
            return Err(format!("{at}: {word} {rule} against {value}"));
        }
    }
    Ok(())
}

/// A document is what `docs/schemas` promises, and the check can fail.
pub fn check(name: &str, value: &Value) {
    let schema = schema(name);
    validate(&schema, &schema, value, name).unwrap();
    // The check itself can fail: an unknown field and a missing one are both noticed.
    let mut more = value.clone();
    more.as_object_mut().unwrap().insert("surprise".into(), Value::Null);
    assert!(validate(&schema, &schema, &more, name).is_err());
    let mut less = value.clone();
    less.as_object_mut().unwrap().remove("schema");
    assert!(validate(&schema, &schema, &less, name).is_err());
}
