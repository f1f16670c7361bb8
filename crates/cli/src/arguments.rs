//! The grammar: `apprentice <verb> [<noun>] --flags`.

use crate::source::Source;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Teach compact vision-only driving planners what large models know; judge, drive and ship them.
#[derive(Parser, Debug)]
#[command(name = "apprentice", version, max_term_width = 110, propagate_version = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
}

/// Options of every command.
#[derive(Args, Debug, Clone)]
pub struct Common {
    /// One JSON document on stdout (its schema is in docs/schemas)
    #[arg(long, global = true)]
    pub json: bool,
    /// Seed of everything random (default: 0, or what --config says)
    #[arg(long, global = true)]
    pub seed: Option<u64>,
    /// Threads (default: all cores)
    #[arg(long, global = true)]
    pub threads: Option<usize>,
    /// No progress on stderr
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Say what would be done and what it would cost; do nothing
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Configuration file of the command (TOML)
    #[arg(long, global = true, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
    /// Change one value of the configuration
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl Common {
    /// The seed that was named, or 0.
    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or_default()
    }
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Report versions, threads, CUDA and data found, each complaint with a hint
    Doctor,
    /// Make simulated worlds
    #[command(subcommand)]
    Worlds(WorldsVerb),
    /// Look at data, check it, write worlds in other formats
    #[command(subcommand)]
    Data(DataVerb),
    /// Train a planner or a teacher
    #[command(subcommand)]
    Train(TrainVerb),
    /// Look into, run and import published models
    #[command(subcommand)]
    Teacher(TeacherVerb),
    /// Run a teacher once over the worlds and store its guidance
    Harvest(Harvest),
    /// Teach a student with a recipe
    Distill(Distill),
    /// Judge in open loop
    #[command(subcommand)]
    Eval(EvalVerb),
    /// Drive in closed loop
    Drive(Drive),
    /// Score result files of a benchmark
    #[command(subcommand)]
    Score(ScoreVerb),
    /// Write a student as ONNX with its contract, checked in both engines
    Export(Export),
    /// Write report.html from what a run folder holds
    Report(Report),
    /// Compare two results under one protocol, paired
    Compare(Compare),
    /// Set results under one protocol side by side: Markdown, CSV, LaTeX
    Table(Table),
    /// Measure speeds
    Bench(Bench),
    /// Run a whole comparison: worlds, teacher, guidance, every arm and seed, judging, report
    Prove(Prove),
}

/// `worlds …`
#[derive(Subcommand, Debug)]
pub enum WorldsVerb {
    /// Write the split file, then every world in it
    Make(WorldsMake),
}

/// `worlds make`
#[derive(Args, Debug)]
pub struct WorldsMake {
    /// Folder to write
    #[arg(long)]
    pub out: PathBuf,
    /// How many worlds
    #[arg(long, default_value = "minutes")]
    pub size: String,
}

/// `data …`
#[derive(Subcommand, Debug)]
pub enum DataVerb {
    /// Count what a source holds
    Info(DataRead),
    /// Read everything, report what is wrong; the exit code is not zero if anything is
    Check(DataRead),
    /// Write simulated worlds, or recorded scenes with rendered pictures, as another data set
    Export(DataExport),
}

/// `data info|check`
#[derive(Args, Debug)]
pub struct DataRead {
    /// The source, such as `nuscenes:ROOT`
    pub data: Source,
    /// Version of a nuScenes data set, where the folder holds several
    #[arg(long)]
    pub version: Option<String>,
}

/// `data export`
#[derive(Args, Debug)]
pub struct DataExport {
    /// Worlds, or recorded scenes without pictures (`scenarionet:DIR`), which are rendered
    #[arg(long)]
    pub data: Source,
    /// Format
    #[arg(long, value_enum)]
    pub to: ExportFormat,
    /// Folder to write
    #[arg(long)]
    pub out: PathBuf,
    /// Version of the nuScenes data set: v1.0-mini (ten scenes) or v1.0-trainval
    #[arg(long, default_value = "v1.0-mini")]
    pub version: String,
    /// Parts of the worlds, comma separated
    #[arg(long, value_delimiter = ',', default_value = "test,driving")]
    pub parts: Vec<String>,
    /// Of recorded scenes: take the cameras of the scenes of the same name in this data set (`nuscenes:ROOT`)
    #[arg(long, value_name = "SOURCE")]
    pub cameras_of: Option<Source>,
    /// At most this many worlds or scenes
    #[arg(long)]
    pub limit: Option<usize>,
    /// Pictures' width and height
    #[arg(long, default_value = "1600x900", value_name = "WxH")]
    pub size: String,
    /// Quality of the JPEGs, 1 to 100 (default: 90 for nuScenes, 20 for Bench2Drive)
    #[arg(long)]
    pub quality: Option<u8>,
}

/// What `data export` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// nuScenes v1.0 with map expansion and CAN bus
    Nuscenes,
    /// Bench2Drive clips
    Bench2drive,
}

/// `train …`
#[derive(Subcommand, Debug)]
pub enum TrainVerb {
    /// A student from labels alone
    Planner(Train),
    /// A language-model teacher on the general corpus
    Teacher(Train),
}

/// `train planner|teacher`
#[derive(Args, Debug)]
pub struct Train {
    /// Worlds
    #[arg(long)]
    pub data: Source,
    /// Run folder
    #[arg(long)]
    pub out: PathBuf,
    /// A student, or for `train teacher` a teacher, of the same network whose weights it starts from
    #[arg(long)]
    pub from: Option<PathBuf>,
    /// Which processor learns
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    pub device: DeviceName,
}

/// Which processor learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeviceName {
    /// The GPU where it can be used, else the CPU
    Auto,
    /// The CPU
    Cpu,
    /// The first NVIDIA GPU, or an error
    Cuda,
}

/// `teacher …`
#[derive(Subcommand, Debug)]
pub enum TeacherVerb {
    /// What a model's folder holds
    Info(TeacherInfo),
    /// Ask a model
    Run(TeacherRun),
    /// Embed texts and pictures
    Embed(TeacherEmbed),
    /// Take a foreign checkpoint over, key by key as a name map says
    Import(TeacherImport),
}

/// `teacher info`
#[derive(Args, Debug)]
pub struct TeacherInfo {
    /// The model's folder as it was downloaded, or an image backbone's file
    pub folder: PathBuf,
}

/// `teacher import`
#[derive(Args, Debug)]
pub struct TeacherImport {
    /// The checkpoint (`.pth`, `.safetensors`, …)
    pub file: PathBuf,
    /// A name map, or one that comes with the program: vad-tiny, vad-base, orion
    #[arg(long, value_name = "MAP.toml")]
    pub map: PathBuf,
    /// Where the tensors go, under our names
    #[arg(long, value_name = "FILE.safetensors")]
    pub out: PathBuf,
}

/// `teacher run`
#[derive(Args, Debug)]
pub struct TeacherRun {
    /// The model's folder, as it was downloaded
    pub folder: PathBuf,
    /// The prompt, taken as it is
    #[arg(long)]
    pub prompt: String,
    /// A picture (PNG or JPEG); may be given several times
    #[arg(long, value_name = "FILE")]
    pub image: Vec<PathBuf>,
    /// Most tokens to say
    #[arg(long, default_value_t = 64)]
    pub max_tokens: usize,
    /// Put the prompt through the model's chat template, as the user's turn
    #[arg(long)]
    pub chat: bool,
    /// Draw tokens at this temperature; 0 takes the most likely
    #[arg(long, default_value_t = 0.0)]
    pub temperature: f64,
    /// Draw from the fewest tokens whose probabilities reach this sum
    #[arg(long, default_value_t = 1.0)]
    pub top_p: f64,
    /// Draw from this many tokens at most; 0 for all
    #[arg(long, default_value_t = 0)]
    pub top_k: usize,
    /// A LoRA adapter's folder in PEFT's format
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    /// How the numbers are held
    #[arg(long, value_enum, default_value_t = DtypeName::F32)]
    pub dtype: DtypeName,
    /// Which processor computes
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    pub device: DeviceName,
    /// Write `tokens` (prompt and answer), `logits` and `hidden.<layer>` of every place
    #[arg(long, value_name = "FILE.safetensors")]
    pub dump: Option<PathBuf>,
}

/// `teacher embed`
#[derive(Args, Debug)]
pub struct TeacherEmbed {
    /// The model's folder as it was downloaded, or an image backbone's file
    pub folder: PathBuf,
    /// A file with one text a line
    #[arg(long, value_name = "FILE", required_unless_present = "images")]
    pub texts: Option<PathBuf>,
    /// Pictures (PNG or JPEG)
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub images: Vec<PathBuf>,
    /// How the numbers are held
    #[arg(long, value_enum, default_value_t = DtypeName::F32)]
    pub dtype: DtypeName,
    /// Which processor computes
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    pub device: DeviceName,
    /// Width and height that an image backbone's pictures are resized to; by default what it was made for
    #[arg(long, value_name = "WxH", value_parser = image_size)]
    pub image_size: Option<[usize; 2]>,
    /// Write `texts` and `images`, one row each, not normalised; an image backbone's grids too, as `level.<stride>`
    #[arg(long, value_name = "FILE.safetensors")]
    pub dump: PathBuf,
}

fn image_size(text: &str) -> Result<[usize; 2], String> {
    let sides = text.split_once('x').map(|(width, height)| (width.parse(), height.parse()));
    match sides {
        Some((Ok(width), Ok(height))) => Ok([width, height]),
        _ => Err("expected two whole numbers, such as 640x384".into()),
    }
}

/// How a published model's numbers are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DtypeName {
    /// As they are stored
    Stored,
    /// 32 bits
    F32,
    /// bfloat16
    Bf16,
    /// 16 bits
    F16,
    /// Linear layers in 8 bits with a scale per row, the rest in 32
    Int8,
}

/// `harvest`
#[derive(Args, Debug)]
pub struct Harvest {
    /// The teacher: a checkpoint of `train teacher`, or the folder of a published model (default: the one that ships)
    #[arg(long)]
    pub teacher: Option<PathBuf>,
    /// Worlds
    #[arg(long)]
    pub data: Source,
    /// Folder of the guidance caches, one folder a tap
    #[arg(long)]
    pub out: PathBuf,
    /// Parts of the worlds (comma separated)
    #[arg(long, value_delimiter = ',', default_values = ["driving", "open-road"])]
    pub part: Vec<String>,
    /// At most this many samples, from the first on
    #[arg(long)]
    pub limit: Option<usize>,
    /// What a published model is asked and what is kept of it
    #[command(flatten)]
    pub published: HarvestPublished,
    /// Which processor learns
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    pub device: DeviceName,
}

/// `harvest` of a published model
#[derive(Args, Debug, PartialEq)]
#[command(next_help_heading = "Published models")]
pub struct HarvestPublished {
    /// Hidden layers: `all`, or numbers from 0 (embeddings); negative ones count from behind; `none` for answers alone
    #[arg(long, value_delimiter = ',', default_value = "-2", allow_hyphen_values = true)]
    pub layers: Vec<String>,
    /// Places at which hidden states are taken
    #[arg(long, value_enum, default_value_t = PlacesName::Last)]
    pub places: PlacesName,
    /// Keep the mean over the places alone
    #[arg(long)]
    pub pool: bool,
    /// Stop after this many generated tokens
    #[arg(long, default_value_t = 1)]
    pub stop_after: usize,
    /// Keep what the model says
    #[arg(long)]
    pub answers: bool,
    /// Sets of questions (comma separated): perception, prediction, planning, behaviour, attention, all
    #[arg(long, value_delimiter = ',', default_value = "planning", conflicts_with = "prompt")]
    pub questions: Vec<String>,
    /// Ask this in place of a set; {command} and {speed} are filled in
    #[arg(long)]
    pub prompt: Option<String>,
    /// Ask each sample one question of the sets, drawn by --seed
    #[arg(long, conflicts_with = "prompt")]
    pub draw: bool,
    /// How a question is put, with {images} and {question} (default: the model's chat template, or its family's way)
    #[arg(long)]
    pub frame: Option<String>,
    /// Cameras that are shown (comma separated): front, front-left, …, all, none (default: front for a model with eyes)
    #[arg(long, value_delimiter = ',')]
    pub cameras: Vec<String>,
    /// Their size in pixels
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "448x252")]
    pub size: String,
    /// Texts that an encoder embeds: said:DIR, said+command:DIR, corrected:DIR (answers of an earlier harvest; corrected by
    /// labels: for training alone), world:KIND (the world's own words: for training alone)
    #[arg(long, value_delimiter = ',')]
    pub texts: Vec<String>,
    /// How values are stored
    #[arg(long, value_enum, default_value_t = StoreName::F16)]
    pub store: StoreName,
    /// Look at every n-th sample of a world; those between have its guidance, with an age
    #[arg(long, default_value_t = 1)]
    pub every: u32,
    /// Under the randomised appearance of this seed: guidance for an augmented view, kept apart from the plain one's
    #[arg(long)]
    pub appearance: Option<u64>,
    /// Kind of numbers it computes in
    #[arg(long, value_enum, default_value_t = DtypeName::F32)]
    pub dtype: DtypeName,
    /// LoRA adapter to merge (PEFT's folder)
    #[arg(long)]
    pub adapter: Option<PathBuf>,
}

impl HarvestPublished {
    /// Whether nothing was asked for.
    pub fn is_default(&self) -> bool {
        #[derive(Parser)]
        struct Alone {
            #[command(flatten)]
            published: HarvestPublished,
        }
        *self == Alone::parse_from(["harvest"]).published
    }
}

/// Where hidden states are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlacesName {
    /// The last of the prompt
    Last,
    /// All of the prompt
    Prompt,
    /// Those of the pictures
    Pictures,
    /// Those from which generated tokens were chosen
    Said,
}

/// How guidance is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StoreName {
    /// 32 bits
    F32,
    /// 16 bits
    F16,
    /// 8 bits with a scale a vector
    Int8,
}

/// `distill`
#[derive(Args, Debug)]
pub struct Distill {
    /// Method
    #[arg(long, default_value = "orion-lite")]
    pub recipe: String,
    /// Worlds
    #[arg(long)]
    pub data: Source,
    /// The teacher's checkpoint (default: the one that ships)
    #[arg(long)]
    pub teacher: Option<PathBuf>,
    /// The guidance cache that `harvest` wrote
    #[arg(long)]
    pub guidance: PathBuf,
    /// Run folder
    #[arg(long)]
    pub out: PathBuf,
    /// Whose eyes the student has
    #[arg(long, value_enum, default_value_t = VariantName::OwnEncoder)]
    pub variant: VariantName,
    /// Which losses act on the plan
    #[arg(long, value_enum, default_value_t = CellName::Both)]
    pub cell: CellName,
    /// Take the teacher's trajectories as labels on the open road instead of its planning token
    #[arg(long, conflicts_with = "cell")]
    pub pseudo_labels: bool,
    /// A student of the same network whose weights it starts from (variant own-encoder)
    #[arg(long)]
    pub from: Option<PathBuf>,
    /// Which processor learns
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    pub device: DeviceName,
}

/// Variants of Orion-Lite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum VariantName {
    /// The student's own tokens predict the planning latent; ships without the teacher
    OwnEncoder,
    /// The teacher's frozen vision tokens stay; a one-query decoder replaces the language model (the paper's)
    SharedVision,
}

/// Cells of Orion-Lite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CellName {
    /// Ground truth alone
    GtOnly,
    /// The teacher's token alone
    MimicOnly,
    /// Both
    Both,
}

/// `eval …`
#[derive(Subcommand, Debug)]
pub enum EvalVerb {
    /// Trajectories against the recorded future
    Planning(EvalPlanning),
    /// A nuScenes detection result file: mAP, NDS, errors
    Detection(EvalResults),
    /// A nuScenes tracking result file: AMOTA, AMOTP, CLEAR-MOT
    Tracking(EvalResults),
    /// A nuScenes prediction result file, or a detection file with futures under `motion-vad` or `motion-uniad`
    Prediction(EvalPrediction),
    /// Captions: BLEU, METEOR, ROUGE-L, CIDEr-D
    Captions(EvalCaptions),
    /// NuScenes-QA: exact match by question type and hop
    Qa(EvalQa),
    /// TOD3Cap: captions of boxes
    Tod3cap(EvalTod3cap),
    /// Nu-X: narration and reasoning
    NuX(EvalNuX),
    /// DriveLM: accuracy, match, language
    Drivelm(EvalDrivelm),
    /// Vector maps: AP by chamfer distance
    Map(EvalFiles),
    /// Bird's-eye view: IoU and panoptic quality of present and future vehicles
    Segmentation(EvalFiles),
}

/// `eval detection|tracking`
#[derive(Args, Debug, Clone)]
pub struct EvalResults {
    /// `nuscenes:ROOT`
    #[arg(long)]
    pub data: Source,
    /// Result file in nuScenes' own format
    #[arg(long)]
    pub results: PathBuf,
    /// Split (default: the one the version is judged on, such as mini_val)
    #[arg(long)]
    pub split: Option<String>,
    /// Version of the data set, where the folder holds several
    #[arg(long)]
    pub version: Option<String>,
    /// Also write the document here
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// `eval prediction`
#[derive(Args, Debug)]
pub struct EvalPrediction {
    /// What and where.
    #[command(flatten)]
    pub common: EvalResults,
    /// `prediction-icra-2020`, `motion-vad` or `motion-uniad`
    #[arg(long, default_value = "prediction-icra-2020")]
    pub protocol: String,
}

/// Where a result goes, for the benchmarks of sentences.
#[derive(Args, Debug)]
pub struct SheetOut {
    /// Also write the whole document, with every judged item, here
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// `eval map|segmentation`
#[derive(Args, Debug)]
pub struct EvalFiles {
    /// The ground truth
    #[arg(long, value_name = "FILE")]
    pub truth: PathBuf,
    /// What was predicted, in the same layout
    #[arg(long, value_name = "FILE")]
    pub predictions: PathBuf,
    /// Where the result goes
    #[command(flatten)]
    pub out: SheetOut,
}

/// METEOR's word lists.
#[derive(Args, Debug)]
pub struct MeteorOption {
    /// Folder with meteor-1.5.jar and data/paraphrase-en.gz (default: what `cargo xtask setup --captions` fetched)
    #[arg(long, value_name = "DIR")]
    pub meteor: Option<PathBuf>,
    /// Leave METEOR out
    #[arg(long, conflicts_with = "meteor")]
    pub no_meteor: bool,
}

/// `eval captions`
#[derive(Args, Debug)]
pub struct EvalCaptions {
    /// JSON lines: {"candidate": "…", "references": ["…", …]}
    #[arg(long, value_name = "FILE.jsonl")]
    pub pairs: PathBuf,
    /// METEOR's word lists
    #[command(flatten)]
    pub meteor: MeteorOption,
    /// Where the result goes
    #[command(flatten)]
    pub out: SheetOut,
}

/// `eval qa`
#[derive(Args, Debug)]
pub struct EvalQa {
    /// NuScenes_val_questions.json
    #[arg(long, value_name = "FILE.json")]
    pub questions: PathBuf,
    /// JSON lines: {"sample_token": "…", "question": "…", "answer": "…"}
    #[arg(long, value_name = "FILE.jsonl")]
    pub answers: PathBuf,
    /// Where the result goes
    #[command(flatten)]
    pub out: SheetOut,
}

/// `eval tod3cap`
#[derive(Args, Debug)]
pub struct EvalTod3cap {
    /// final_caption_bbox_token.json
    #[arg(long, value_name = "FILE.json")]
    pub captions: PathBuf,
    /// Boxes of the ground truth: sample token → [{token, translation, size, rotation}]
    #[arg(long, value_name = "FILE.json")]
    pub boxes: PathBuf,
    /// Predicted boxes: sample token → [{translation, size, rotation, caption}], also under `results`
    #[arg(long, value_name = "FILE.json")]
    pub predictions: PathBuf,
    /// Whose definition
    #[arg(long, value_enum, default_value_t = Tod3capMode::Paper)]
    pub mode: Tod3capMode,
    /// METEOR's word lists
    #[command(flatten)]
    pub meteor: MeteorOption,
    /// Where the result goes
    #[command(flatten)]
    pub out: SheetOut,
}

/// Definitions of TOD3Cap's metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tod3capMode {
    /// Over ground-truth boxes, by overlap in space (the paper's text)
    Paper,
    /// Over predictions, by overlap of sizes (the released script, which made the published tables)
    Repo,
}

/// `eval nu-x`
#[derive(Args, Debug)]
pub struct EvalNuX {
    /// Nu_X_val.json: sample token → {narration, reasoning}
    #[arg(long, value_name = "FILE.json")]
    pub truth: PathBuf,
    /// Answers: sample token → "Narration: … Reasoning: …"
    #[arg(long, value_name = "FILE.json")]
    pub answers: PathBuf,
    /// METEOR's word lists
    #[command(flatten)]
    pub meteor: MeteorOption,
    /// Where the result goes
    #[command(flatten)]
    pub out: SheetOut,
}

/// `eval drivelm`
#[derive(Args, Debug)]
pub struct EvalDrivelm {
    /// Questions with answers and tags (the challenge's test_eval.json)
    #[arg(long, value_name = "FILE.json")]
    pub questions: PathBuf,
    /// Answers: [{"id": "<scene>_<frame>_<number>", "answer": "…"}]
    #[arg(long, value_name = "FILE.json")]
    pub answers: PathBuf,
    /// Where the result goes
    #[command(flatten)]
    pub out: SheetOut,
}

/// `eval planning`
#[derive(Args, Debug)]
pub struct EvalPlanning {
    /// Worlds or recorded scenes
    #[arg(long)]
    pub data: Source,
    /// `constant-velocity`, `stop`, or a student's file (.onnx or .safetensors)
    #[arg(long, required_unless_present = "plans")]
    pub driver: Option<String>,
    /// Plans made elsewhere: JSON lines {"world": "…", "index": 0, "waypoints": [[x, y], … six]}
    #[arg(long, value_name = "FILE.jsonl", conflicts_with = "driver")]
    pub plans: Option<PathBuf>,
    /// Named subsets of starts: {"<name>": ["<world>#<index>", …]}
    #[arg(long, value_name = "FILE.json")]
    pub subsets: Option<PathBuf>,
    /// Named protocol
    #[arg(long, default_value = "valid-starts")]
    pub protocol: String,
    /// Part of the worlds: test, design, driving, …
    #[arg(long, default_value = "test")]
    pub part: String,
    /// Also write the whole document, with every judged start, here
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Engine for .onnx files
    #[arg(long, value_enum, default_value_t = EngineName::Onnxruntime)]
    pub engine: EngineName,
}

/// Engine for exported files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineName {
    /// ONNX Runtime
    Onnxruntime,
    /// tract, pure Rust
    Tract,
}

/// `drive`
#[derive(Args, Debug, Clone)]
pub struct Drive {
    /// Folder with OpenDRIVE files, one per town, searched recursively
    #[arg(long, requires = "routes")]
    pub maps: Option<PathBuf>,
    /// CARLA route file
    #[arg(long, requires = "maps")]
    pub routes: Option<PathBuf>,
    /// Drive generated worlds instead (`worlds:DIR`); without any of these, a few are made in runs/first-drive
    #[arg(long, conflicts_with = "maps")]
    pub data: Option<Source>,
    /// Part of the worlds
    #[arg(long, default_value = "test")]
    pub part: String,
    /// `expert`, `expert-privileged`, `expert-plans`, `constant-velocity`, `stop`, or a student's file (default: the shipped student)
    #[arg(long)]
    pub driver: Option<String>,
    /// Folder for the result files and a replay of each route
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Only these routes (ids, comma separated)
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// At most this many routes
    #[arg(long)]
    pub limit: Option<usize>,
    /// Leave replays out
    #[arg(long)]
    pub no_replay: bool,
    /// Engine for .onnx files
    #[arg(long, value_enum, default_value_t = EngineName::Onnxruntime)]
    pub engine: EngineName,
}

/// `table`
#[derive(Args, Debug)]
pub struct Table {
    /// Result files of one benchmark under one protocol
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// How the table is written
    #[arg(long, value_enum, default_value_t = TableFormat::Markdown)]
    pub format: TableFormat,
}

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// Markdown
    Markdown,
    /// Comma-separated values
    Csv,
    /// LaTeX (booktabs)
    Latex,
}

/// `score …`
#[derive(Subcommand, Debug)]
pub enum ScoreVerb {
    /// Bench2Drive result files
    Bench2drive(ScoreBench2drive),
}

/// `score bench2drive`
#[derive(Args, Debug)]
pub struct ScoreBench2drive {
    /// Result files
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Which route set the files are of: 0.0.3 (its 220 routes) or 0.0.4
    #[arg(long, default_value = "0.0.3")]
    pub benchmark: String,
    /// Folder with OpenDRIVE files; the ability Traffic_Signs needs the maps of all towns
    #[arg(long, requires = "routes")]
    pub maps: Option<PathBuf>,
    /// Route file (bench2drive220.xml) for the junctions of each route
    #[arg(long, requires = "maps")]
    pub routes: Option<PathBuf>,
    /// Folder with a metric_info.json per route, for comfort
    #[arg(long)]
    pub metrics: Option<PathBuf>,
}

/// `export`
#[derive(Args, Debug)]
pub struct Export {
    /// A student's checkpoint (.safetensors)
    pub checkpoint: PathBuf,
    /// File to write (.onnx)
    #[arg(long)]
    pub out: PathBuf,
    /// Samples to check the export on
    #[arg(long)]
    pub data: Source,
    /// How many samples
    #[arg(long, default_value_t = 64)]
    pub samples: usize,
}

/// `report`
#[derive(Args, Debug)]
pub struct Report {
    /// A run folder: of `prove`, or of one training
    pub run: PathBuf,
    /// Page to write (default: report.html in the folder)
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `compare`
#[derive(Args, Debug)]
pub struct Compare {
    /// A result: of `eval planning`, or of another `eval` with --out
    pub a: PathBuf,
    /// Another
    pub b: PathBuf,
}

/// `bench`
#[derive(Args, Debug)]
pub struct Bench {
    /// What to measure: world, render, student, onnx, planning, captions, guidance (default: world, render)
    pub what: Vec<String>,
    /// A guidance cache to read, for `guidance` (default: one of half a gigabyte is made for the occasion)
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Folder with the CARLA towns, for the camera path through Town10HD
    #[arg(long)]
    pub maps: Option<PathBuf>,
    /// Python whose PyTorch is the peer of student and onnx
    #[arg(long, default_value = "python3")]
    pub python: String,
    /// Caption pairs, for `captions`
    #[arg(long, value_name = "FILE.jsonl")]
    pub pairs: Option<PathBuf>,
}

/// `prove`
#[derive(Args, Debug)]
pub struct Prove {
    /// `minutes` (the demo), `hours` or `full`
    #[arg(long, default_value = "minutes")]
    pub size: String,
    /// Run folder; a run that was stopped goes on where it was
    #[arg(long, default_value = "runs/demo")]
    pub out: PathBuf,
    /// Run nothing: pool what earlier runs with other seeds left (proof/evidence.bin of each) into one table
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["size", "out", "device"])]
    pub pool: Vec<PathBuf>,
    /// Which processor learns
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    pub device: DeviceName,
}
