//! Tables of plain text, aligned, for the terminal; the same cells fill the tables of the report.

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table: columns in groups, rows of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Title above the table; empty for none.
    pub title: String,
    /// (name, columns) of each group of columns from the left; empty for no such line. A nameless group is blank.
    pub groups: Vec<(String, usize)>,
    /// Name and alignment of each column.
    pub columns: Vec<(String, Align)>,
    /// Cells, one per column.
    pub rows: Vec<Vec<String>>,
    /// Lines under the table.
    pub notes: Vec<String>,
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn padded(text: &str, to: usize, align: Align) -> String {
    let fill = " ".repeat(to.saturating_sub(width(text)));
    match align {
        Align::Left => format!("{text}{fill}"),
        Align::Right => format!("{fill}{text}"),
    }
}

impl Table {
    /// The table as lines of text, without colour.
    pub fn render(&self) -> String {
        let mut widths: Vec<usize> = self.columns.iter().map(|(name, _)| width(name)).collect();
        for row in &self.rows {
            for (i, cell) in row.iter().enumerate().take(widths.len()) {
                widths[i] = widths[i].max(width(cell));
            }
        }
        const GAP: &str = "  ";
        // A group's name may be wider than its columns: its last column makes room.
        let mut first = 0;
        for (name, count) in &self.groups {
            let end = (first + count).min(widths.len());
            if end > first {
                let have: usize = widths[first..end].iter().sum::<usize>() + GAP.len() * (end - first - 1);
                widths[end - 1] += width(name).saturating_sub(have);
            }
            first = end;
        }
        let line = |cells: &mut dyn Iterator<Item = String>| {
            let text = cells.collect::<Vec<_>>().join(GAP);
            format!("{}\n", text.trim_end())
        };
        let mut out = String::new();
        if !self.title.is_empty() {
            out += &format!("{}\n", self.title);
        }
        if !self.groups.is_empty() {
            let mut first = 0;
            let mut parts = Vec::new();
            for (name, count) in &self.groups {
                let end = (first + count).min(widths.len());
                let have: usize =
                    widths[first..end].iter().sum::<usize>() + GAP.len() * (end - first).saturating_sub(1);
                let dashes = have.saturating_sub(width(name) + 1);
                parts.push(if name.is_empty() { " ".repeat(have) } else { format!("{name} {}", "─".repeat(dashes)) });
                first = end;
            }
            out += &line(&mut parts.into_iter());
        }
        out += &line(&mut self.columns.iter().zip(&widths).map(|((name, align), w)| padded(name, *w, *align)));
        out += &line(&mut widths.iter().map(|w| "─".repeat(*w)));
        for row in &self.rows {
            let cell = |i: usize| row.get(i).map_or("", String::as_str);
            let cells = self.columns.iter().zip(&widths).enumerate();
            out += &line(&mut cells.map(|(i, ((_, align), w))| padded(cell(i), *w, *align)));
        }
        for note in &self.notes {
            out += &format!("{note}\n");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_their_letters() {
        let table = Table {
            title: "Judged".into(),
            groups: vec![(String::new(), 1), ("valid-starts".into(), 2)],
            columns: vec![("driver".into(), Align::Left), ("L2".into(), Align::Right), ("± m".into(), Align::Right)],
            rows: vec![
                vec!["expert".into(), "0.12".into(), "0.01".into()],
                vec!["élève".into(), "10.50".into(), "—".into()],
            ],
            notes: vec!["1 of 2 routes driven".into()],
        };
        let text = table.render();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "        valid-starts");
        assert_eq!(lines[4], "expert   0.12   0.01");
        assert_eq!(lines[5], "élève   10.50      —");
        assert_eq!(lines[6], "1 of 2 routes driven");
    }
}
