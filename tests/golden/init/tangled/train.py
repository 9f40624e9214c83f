import pickle

with open("table.pkl", "rb") as file:
    table = pickle.load(file)
with open("table.pkl", "wb") as file:
    pickle.dump(table, file)
with open("model.pkl", "wb") as file:
    pickle.dump(table, file)
