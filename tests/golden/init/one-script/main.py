import csv

with open("data/rows.csv") as file:
    rows = list(csv.reader(file))
with open("out/summary.json", "w") as file:
    file.write(str(len(rows)))
