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

/// Names of columns with the group that they stand in, for formats that have one header line.
fn flat_names(table: &Table) -> Vec<String> {
    let mut prefixes = table.groups.iter().flat_map(|(name, count)| std::iter::repeat_n(name.as_str(), *count));
    let named = table.columns.iter().map(|(name, _)| match prefixes.next() {
        Some(prefix) if !prefix.is_empty() => format!("{prefix}: {name}"),
        _ => name.clone(),
    });
    named.collect()
}

impl Table {
    /// The table in Markdown.
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            format!("| {} |\n", cells.iter().map(|c| c.replace('|', "\\|")).collect::<Vec<_>>().join(" | "))
        };
        let rules: Vec<String> =
            self.columns.iter().map(|(_, a)| if *a == Align::Left { "---" } else { "---:" }.to_string()).collect();
        let mut out = if self.title.is_empty() { String::new() } else { format!("{}\n\n", self.title) };
        out += &line(&flat_names(self));
        out += &line(&rules);
        self.rows.iter().for_each(|row| out += &line(row));
        if !self.notes.is_empty() {
            out += "\n";
        }
        self.notes.iter().for_each(|note| out += &format!("{note}\n"));
        out
    }

    /// The table as comma-separated values (RFC 4180); notes are comments.
    pub fn csv(&self) -> String {
        let cell = |text: &String| match text.contains([',', '"', '\n']) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text.clone(),
        };
        let line = |cells: &[String]| format!("{}\n", cells.iter().map(cell).collect::<Vec<_>>().join(","));
        let mut out = line(&flat_names(self));
        self.rows.iter().for_each(|row| out += &line(row));
        self.notes.iter().for_each(|note| out += &format!("# {note}\n"));
        out
    }

    /// The table in LaTeX, with the rules of `booktabs`.
    pub fn latex(&self) -> String {
        let escaped = |text: &str| {
            text.chars().fold(String::new(), |mut out, c| {
                match c {
                    '\\' => out += "\\textbackslash{}",
                    '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
                    '~' => out += "\\textasciitilde{}",
                    '^' => out += "\\textasciicircum{}",
                    c => out.push(c),
                }
                out
            })
        };
        let line =
            |cells: &mut dyn Iterator<Item = String>| format!("{} \\\\\n", cells.collect::<Vec<_>>().join(" & "));
        let align: String = self.columns.iter().map(|(_, a)| if *a == Align::Left { 'l' } else { 'r' }).collect();
        let mut out = if self.title.is_empty() { String::new() } else { format!("% {}\n", self.title) };
        out += &format!("\\begin{{tabular}}{{{align}}}\n\\toprule\n");
        if !self.groups.is_empty() {
            let group = |(name, count): &(String, usize)| format!("\\multicolumn{{{count}}}{{c}}{{{}}}", escaped(name));
            out += &line(&mut self.groups.iter().map(group));
        }
        out += &line(&mut self.columns.iter().map(|(name, _)| escaped(name)));
        out += "\\midrule\n";
        self.rows.iter().for_each(|row| out += &line(&mut row.iter().map(|cell| escaped(cell))));
        out += "\\bottomrule\n\\end{tabular}\n";
        self.notes.iter().for_each(|note| out += &format!("% {note}\n"));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_formats_escape_what_they_must() {
        let table = Table {
            groups: vec![(String::new(), 1), ("share, %".into(), 1)],
            columns: vec![("name".into(), Align::Left), ("1 s".into(), Align::Right)],
            rows: vec![vec!["a|b_c".into(), "1.5".into()]],
            notes: vec!["one".into()],
            ..Table::default()
        };
        assert_eq!(table.markdown(), "| name | share, %: 1 s |\n| --- | ---: |\n| a\\|b_c | 1.5 |\n\none\n");
        assert_eq!(table.csv(), "name,\"share, %: 1 s\"\na|b_c,1.5\n# one\n");
        let latex = table.latex();
        assert!(
            latex.contains("\\multicolumn{1}{c}{share, \\%} \\\\\n") && latex.contains("a|b\\_c & 1.5 \\\\\n"),
            "{latex}"
        );
    }

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
