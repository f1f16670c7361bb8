//! The lift against the cameras, and targets against the labels they came from.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use apprentice_nn::VarStore;
use apprentice_planner::StudentConfig;
use apprentice_planner::lift::{Lift, reference_points};
use apprentice_planner::targets::{SceneTargets, cell_of, image_box, resample};
use tch::{Device, Kind, Tensor, no_grad};

fn lift(config: &StudentConfig, channels: i64) -> (VarStore, Lift) {
    let store = VarStore::new(Device::Cpu, 1);
    let lift = Lift::new(&store.root(), &config.bev, &config.preprocessing().rig, channels);
    (store, lift)
}

/// If every feature cell holds its own image coordinates, a lifted point must read its own projection.
#[test]
fn the_lift_reads_where_the_camera_projects() {
    let config = StudentConfig::nano();
    let rig = config.preprocessing().rig;
    let (w, h) = (160 / 8, 64 / 8);
    let (_store, lift) = lift(&config, 3);
    let points = reference_points(&config.bev);
    let cells = lift.taps.len();
    assert_eq!(cells * config.bev.heights_m.len(), points.len());
    let plane = |f: &dyn Fn(i64, i64) -> f32| -> Vec<f32> {
        (0..h).flat_map(|r| (0..w).map(move |c| (r, c))).map(|(r, c)| f(r, c)).collect()
    };
    let column = plane(&|_, c| (c as f32 + 0.5) * 8.0);
    let row = plane(&|r, _| (r as f32 + 0.5) * 8.0);
    let one = plane(&|_, _| 1.0);
    let shine = Tensor::from_slice(&[column, row, one].concat()).reshape([3, h, w]);
    let mut seen = 0;
    for height in 0..config.bev.heights_m.len() {
        // The projection lets the three channels of this height alone through.
        no_grad(|| {
            let mut weight = lift.project.weight.shallow_clone();
            let _ = weight.zero_();
            for c in 0..3 {
                let _ = weight.get(height as i64 * config.bev.width + c).get(c).fill_(1.0);
            }
        });
        for (i, camera) in rig.cameras.iter().enumerate() {
            // Only this camera shines: column, row, one.
            let features = Tensor::zeros([6, 3, h, w], (Kind::Float, Device::Cpu));
            features.get(i as i64).copy_(&shine);
            let lifted = no_grad(|| lift.forward(&features, 6));
            assert_eq!(lifted.size(), [1, config.bev.width, 32, 24]);
            for cell in 0..cells {
                let point = points[height * cells + cell];
                let read = |c: i64| lifted.double_value(&[0, c, cell as i64 / 24, cell as i64 % 24]);
                let share = read(2);
                let projected = camera
                    .project(point)
                    .filter(|[u, v, d]| *d > 0.5 && *u >= 0.0 && *u < 160.0 && *v >= 0.0 && *v < 64.0);
                let Some([u, v, _]) = projected else {
                    assert!(share.abs() < 1e-6, "a camera answers for a point it does not see");
                    continue;
                };
                seen += 1;
                assert!(share > 0.3 && share < 1.0 + 1e-5, "{share}");
                // Half a feature cell at the border is clamped.
                let (u, v) = (u.clamp(4.0, 156.0), v.clamp(4.0, 60.0));
                assert!((read(0) / share - u).abs() < 0.01 && (read(1) / share - v).abs() < 0.01);
            }
        }
    }
    assert!(seen > 1500, "{seen}");
}

#[test]
fn the_lift_keeps_samples_apart_and_differentiates() {
    let config = StudentConfig::nano();
    let (_store, lift) = lift(&config, 2);
    let x = apprentice_nn::noise(&[1], &[12, 2, 8, 20]).set_requires_grad(true);
    let y = lift.forward(&x, 6);
    let second = lift.forward(&x.narrow(0, 6, 6), 6);
    assert!((y.get(1) - second.get(0)).abs().max().double_value(&[]) < 1e-6);
    // The map is linear, so its gradient is its transpose.
    let direction = apprentice_nn::noise(&[2], &y.size());
    let gradient = Tensor::run_backward(&[(&y * &direction).sum(Kind::Float)], &[&x], false, false);
    let probe = apprentice_nn::noise(&[3], &[12, 2, 8, 20]);
    let left = (&gradient[0] * &probe).sum(Kind::Double).double_value(&[]);
    let right = (lift.forward(&probe, 6) * direction).sum(Kind::Double).double_value(&[]);
    assert!((left - right).abs() < 1e-3 * right.abs().max(1.0), "{left} {right}");
}

#[test]
fn targets_keep_what_is_visible_and_in_range() {
    let config = StudentConfig::nano();
    let mut sample = common::sample(3);
    for (i, agent) in sample.agents.iter_mut().enumerate() {
        agent.center_in_ego[0] = 5.0 + 4.0 * i as f32;
    }
    let visible = sample.agents.iter().filter(|a| a.visible_pixels > 5).count();
    let scene = SceneTargets::new(&config, &sample, true, None, true);
    assert_eq!(scene.agents.len(), visible);
    assert!(
        scene.agents.windows(2).all(|w| w[0].values[0].hypot(w[0].values[1]) <= w[1].values[0].hypot(w[1].values[1]))
    );
    assert_eq!(scene.map.len(), 5);
    for target in &scene.map {
        assert!(target.points.iter().all(|&p| cell_of(&config.bev, p).is_some()), "{target:?}");
        let expected = match target.class {
            1 => 2 * (config.map_points - 1),
            3 => 1,
            _ => 2,
        };
        assert_eq!(target.orders.len(), expected);
        for order in &target.orders {
            assert_eq!(order.len(), config.map_points);
        }
    }
    // Every order of a ring walks the same ring.
    let ring = scene.map.iter().find(|t| t.class == 1).unwrap();
    let length =
        |points: &[[f32; 2]]| -> f32 { points.windows(2).map(|p| (p[1][0] - p[0][0]).hypot(p[1][1] - p[0][1])).sum() };
    for order in &ring.orders {
        let walked: Vec<_> = order.iter().map(|&j| ring.points[j]).collect();
        assert!((length(&walked) - length(&ring.points)).abs() < 1e-3);
        assert_eq!(order.first(), order.last());
    }
}

#[test]
fn resampling_keeps_ends_and_spacing() {
    let line = resample(&[[0.0, 0.0], [3.0, 0.0], [3.0, 1.0]], 5);
    assert_eq!((line[0], line[4]), ([0.0, 0.0], [3.0, 1.0]));
    for pair in line.windows(2).take(3) {
        assert!(((pair[1][0] - pair[0][0]).abs() - 1.0).abs() < 1e-5);
    }
}

#[test]
fn a_box_ahead_is_in_the_middle_of_the_front_image() {
    let config = StudentConfig::nano();
    let rig = config.preprocessing().rig;
    let mut agent = common::sample(3).agents[0].clone();
    (agent.center_in_ego, agent.yaw_rad) = ([22.0, 0.0, 0.8], 0.0);
    let ([left, top, right, bottom], distance) = image_box(&rig.cameras[0], &agent).unwrap();
    assert!((left + right - 160.0).abs() < 1e-6 && top < 33.0 && bottom > 35.0 && bottom < 50.0);
    assert!((distance - 19.8).abs() < 0.2, "{distance}");
    assert!(image_box(&rig.cameras[3], &agent).is_none());
}
