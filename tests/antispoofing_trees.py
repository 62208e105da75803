"""Made-up trees of empty files in the form that publishers of presentation attacks give them."""

from itertools import product

import numpy as np
from PIL import Image

LIGHTS = ("adverse", "controlled")
REPLAY_CLIENTS = {"train": range(1, 16), "devel": range(16, 31), "test": range(31, 51)}
OULU_USERS = {"Train": range(1, 21), "Dev": range(21, 36), "Test": range(36, 56)}
SIW_SUBJECTS = {"Train": range(1, 19), "Test": range(91, 106)}  # a fifth of the publisher's 90 and 75
MSU_SUBJECTS = {"train": range(1, 16), "test": range(16, 36)}


def touched(root, names):
    """Empty files."""
    for folder in {(root / name).parent for name in names}:
        folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / name).touch()
    return root


def casia_names():
    files = [*map(str, range(1, 9)), *(f"HR_{k}" for k in range(1, 5))]
    people = [("train", k) for k in range(1, 21)] + [("test", k) for k in range(1, 31)]
    return [f"{split}_release/{person}/{file}.avi" for (split, person), file in product(people, files)]


def replay_names(root=""):
    names = []
    for split, clients in REPLAY_CLIENTS.items():
        where = f"{root.format(split)}{split}"
        for client, light in product(clients, LIGHTS):
            who = f"client{client:03d}_session01"
            names += [f"{where}/real/{who}_webcam_authenticate_{light}_{k}.mov" for k in (1, 2)]
            for hold in ("fixed", "hand"):
                start = f"{where}/attack/{hold}/attack"
                names.append(f"{start}_print_{who}_highdef_photo_{light}.mov")
                kinds = product(("mobile", "highdef"), ("photo", "video"))
                names += [f"{start}_{device}_{who}_{device}_{what}_{light}.mov" for device, what in kinds]
        names += [
            f"enroll/{split}/client{c:03d}_session02_webcam_enroll_{light}_1.mov" for c in clients for light in LIGHTS
        ]
    return names


def msu_names(subjects=MSU_SUBJECTS):
    names = []
    for subject in (s for part in subjects.values() for s in part):
        for camera, ending in (("android", "mp4"), ("laptop", "mov")):
            who = f"client{subject:03d}_{camera}_SD"
            names.append(f"scene01/real/real_{who}_scene01.{ending}")
            for medium in ("ipad_video", "iphone_video", "printed_photo"):
                names.append(f"scene01/attack/attack_{who}_{medium}_scene01.{ending}")
    return names


def msu_tree(root, subjects=MSU_SUBJECTS, ask=None):
    touched(root, msu_names(subjects))
    for split, people in (ask or subjects).items():
        (root / f"{split}_sub_list.txt").write_text("".join(f"{k:02d}\n" for k in people))
    return root


def oulu_names(users=OULU_USERS, phones=range(1, 7), sessions=range(1, 4)):
    return [
        f"{split}_files/{phone}_{session}_{user:02d}_{file}.avi"
        for split, people in users.items()
        for phone, session, user, file in product(phones, sessions, people, range(1, 6))
    ]


def siw_names(subjects=SIW_SUBJECTS):
    """Eight live and twenty attacks of everyone: the publisher's "up to 20"."""
    names = []
    for split, people in subjects.items():
        for who, camera in product(people, (1, 2)):
            start = f"{who:03d}/{who:03d}-{camera}"
            names += [f"{split}/live/{start}-1-1-{session}.mov" for session in range(1, 5)]
            names += [f"{split}/spoof/{start}-2-{medium}-1.mov" for medium in (1, 2)]
            names += [f"{split}/spoof/{start}-3-{m}-{session}.mov" for m, session in product(range(1, 5), (1, 2))]
    return names


COLUMNS = "file,video,type,subject,set,split,camera,session,medium,frame"
SHADES = {"live": 210, "print": 90, "replay": 60, "mask": 30}


def prepared(folder, rows, size=16):
    """A prepared folder. Rows are dictionaries of columns; what they lack is made up, and live faces are bright."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [COLUMNS]
    for number, row in enumerate(rows):
        about = {"type": "live", "split": "train", "subject": f"s{number}", "video": f"v{number}", "frame": 0} | row
        about.setdefault("file", f"frames/{about['video']}/{int(about['frame'] or 0):06d}.png")
        path = folder / about["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((size, size, 3), SHADES.get(about["type"], 0) + number % 20, np.uint8)
        pixels[:, : size // 2] //= 2  # left is darker, so that mirroring shows
        Image.fromarray(pixels).save(path)
        lines.append(",".join(str(about.get(name, "")) for name in COLUMNS.split(",")))
    (folder / "frames.csv").write_text("\n".join(lines) + "\n")
    return folder


def people(split, subjects, types=("live", "print", "replay"), frames=2, **about):
    """Rows: each subject live and attacked."""
    return [
        {"split": split, "subject": who, "type": kind, "video": f"{split}/{who}/{kind}", "frame": 10 * k, **about}
        for who in subjects
        for kind in types
        for k in range(frames)
    ]
