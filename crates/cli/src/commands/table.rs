//! `apprentice table FILE…`

use crate::Console;
use crate::arguments::{Table, TableFormat};
use apprentice_core::BoxedError;
use apprentice_report::results::table_of;
use serde::Serialize;

#[derive(Serialize)]
struct Written {
    schema: &'static str,
    format: &'static str,
    table: String,
}

/// Set results side by side.
pub(super) fn run(of: &Table, console: &Console) -> Result<(), BoxedError> {
    let files = of.files.iter().map(|path| super::sheet::read(path)).collect::<Result<Vec<_>, _>>()?;
    let table = table_of(&files)?;
    let (format, text) = match of.format {
        TableFormat::Markdown => ("markdown", table.markdown()),
        TableFormat::Csv => ("csv", table.csv()),
        TableFormat::Latex => ("latex", table.latex()),
    };
    console.answer(&Written { schema: "apprentice.table/1", format, table: text.clone() }, || text);
    Ok(())
}
