"""Your own table: several columns to predict, and cells that are blank.

The table here is made up (flats with a rent, a balcony and a heating), so that the file runs as it is. Put the path of
your own CSV, TSV or Parquet file in its place. A blank cell in a column that is to be predicted means "nobody knows":
that flat still teaches the other two tasks.
"""

import random
from pathlib import Path

from umbel import FitSettings, Learner, build_model, evaluate, fit, from_table, make_descent, open_runtime
from umbel.data import describe_columns

TARGETS = ["rent", "balcony", "heating"]


def write_table(path: Path) -> None:
    """400 flats. A third of the rents, of the balconies and of the heatings is unknown."""
    draw = random.Random(0)
    rows = ["rooms,metres,year,rent,balcony,heating"]
    for _ in range(400):
        rooms, year = draw.randint(1, 5), draw.randint(1900, 2020)
        metres = round(25 * rooms + draw.gauss(0, 8), 1)
        rent = round(9 * metres + 2 * (year - 1900) + draw.gauss(0, 30))
        balcony = "yes" if metres > 60 else "no"
        heating = "oil" if year < 1950 else "gas" if year < 2000 else "pump"
        known = ["" if draw.random() < 1 / 3 else str(value) for value in (rent, balcony, heating)]
        rows.append(",".join([str(rooms), str(metres), str(year), *known]))
    path.write_text("\n".join(rows) + "\n")


table = Path("flats.csv")
write_table(table)

# What Umbel makes of each column. Where that is wrong, say so: from_table(..., kinds={"rooms": "category"}).
for column in describe_columns(table, TARGETS):
    print(f"{column.name:8} {column.role:7} {column.kind:15} {column.missing} blank")

# Inputs are standardised. Of the rows, 70 % are learnt from, 15 % choose the best step, 15 % are the test.
data = from_table(table, TARGETS)
learner = Learner(build_model(data.input_shape, data.tasks, "mlp", seed=0), data.tasks)
settings = FitSettings(steps=200, learning_rate=3e-3, batch_size=64, precision="float32", tensorboard=False)
fitted = fit(learner, make_descent("equal"), data.train, data.validation, settings)
print(f"\nbest of {fitted.steps} steps on the validation rows: step {fitted.best_step}")

scores = evaluate(learner, data.test, open_runtime()).main()
for task in data.tasks:
    print(f"{task.name}: {task.main_metric} {scores[task.name]:.3g} {task.unit}".rstrip())
