//! Which scenes belong to which split: facts about nuScenes v1.0, as ranges of scene numbers.

/// A split and the version of the data set that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// `train`, `val`, `test`, `mini_train` or `mini_val`.
    pub name: &'static str,
    /// `trainval`, `test` or `mini`.
    pub version: &'static str,
    ranges: &'static [(u16, u16)],
}

impl Split {
    /// All of them.
    pub const ALL: [Split; 5] = [
        Split { name: "train", version: "trainval", ranges: TRAIN },
        Split { name: "val", version: "trainval", ranges: VAL },
        Split { name: "test", version: "test", ranges: TEST },
        Split { name: "mini_train", version: "mini", ranges: MINI_TRAIN },
        Split { name: "mini_val", version: "mini", ranges: MINI_VAL },
    ];

    /// The split of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|split| split.name == name)
    }

    /// The split that results of a version are judged on by default.
    pub fn judged(version: &str) -> Option<Self> {
        Self::named(match version.strip_prefix("v1.0-")? {
            "trainval" => "val",
            "test" => "test",
            "mini" => "mini_val",
            _ => return None,
        })
    }

    /// Whether a scene belongs to it.
    pub fn holds(&self, scene: &str) -> bool {
        let number = scene.strip_prefix("scene-").filter(|n| n.len() == 4).and_then(|n| n.parse::<u16>().ok());
        number.is_some_and(|n| self.ranges.iter().any(|(from, to)| (*from..=*to).contains(&n)))
    }

    /// Names of its scenes, in order.
    pub fn scenes(&self) -> impl Iterator<Item = String> {
        self.ranges.iter().flat_map(|(from, to)| *from..=*to).map(|n| format!("scene-{n:04}"))
    }
}

#[rustfmt::skip]
const TRAIN: &[(u16, u16)] = &[
    (1, 2), (4, 11), (19, 34), (41, 76), (120, 135), (138, 139), (149, 152), (154, 155), (157, 168), (170, 185),
    (187, 188), (190, 196), (199, 200), (202, 204), (206, 214), (218, 220), (222, 222), (224, 264), (283, 306),
    (315, 318), (321, 321), (323, 324), (328, 328), (347, 386), (388, 403), (405, 408), (410, 459), (461, 465),
    (467, 469), (471, 472), (474, 480), (499, 502), (504, 515), (517, 518), (525, 539), (541, 546), (566, 566),
    (568, 568), (570, 578), (580, 580), (582, 600), (639, 679), (681, 681), (683, 689), (695, 698), (700, 701),
    (703, 719), (726, 728), (730, 731), (733, 741), (744, 744), (746, 747), (749, 752), (757, 765), (767, 769),
    (786, 787), (789, 792), (803, 806), (808, 813), (815, 817), (819, 822), (847, 856), (858, 858), (860, 866),
    (868, 873), (875, 878), (880, 880), (882, 903), (945, 945), (947, 947), (949, 949), (952, 953), (955, 961),
    (975, 984), (988, 992), (994, 1025), (1044, 1058), (1074, 1102), (1104, 1110),
];
#[rustfmt::skip]
const VAL: &[(u16, u16)] = &[
    (3, 3), (12, 18), (35, 36), (38, 39), (92, 110), (221, 221), (268, 278), (329, 332), (344, 346), (519, 524),
    (552, 565), (625, 627), (629, 630), (632, 638), (770, 771), (775, 775), (777, 778), (780, 784), (794, 800),
    (802, 802), (904, 917), (919, 931), (962, 963), (966, 969), (971, 972), (1059, 1073),
];
#[rustfmt::skip]
const TEST: &[(u16, u16)] = &[
    (77, 91), (111, 119), (140, 140), (142, 148), (265, 266), (279, 282), (307, 314), (333, 343), (481, 498),
    (547, 551), (601, 604), (606, 624), (827, 831), (833, 842), (844, 846), (932, 933), (935, 943), (1026, 1043),
];
#[rustfmt::skip]
const MINI_TRAIN: &[(u16, u16)] = &[
    (61, 61), (553, 553), (655, 655), (757, 757), (796, 796), (1077, 1077), (1094, 1094), (1100, 1100),
];
const MINI_VAL: &[(u16, u16)] = &[(103, 103), (916, 916)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_numbers_of_scenes() {
        let counts = Split::ALL.map(|split| split.scenes().count());
        assert_eq!(counts, [700, 150, 150, 8, 2]);
        let (train, val) = (Split::ALL[0], Split::ALL[1]);
        assert!(train.scenes().all(|scene| train.holds(&scene) && !val.holds(&scene)));
        assert!(!val.holds("scene-3") && !val.holds("0003") && val.holds("scene-0003"));
        assert_eq!(Split::judged("v1.0-mini").unwrap().name, "mini_val");
        assert!(Split::judged("v2.0-mini").is_none());
    }
}
