"""A classifier of your own from a CSV file with the columns text and label, on an encoder of your own."""

import lavra

lavra.pretrain("texts", family="bert", budget="4m", name="encoder")

result = lavra.finetune("encoder", "reviews.csv", task="classify", epochs=5, name="reviews")
print(f"{result.after.main}: {result.before.value:.2f} before, {result.after.value:.2f} after")

found = lavra.predict("reviews", "a lovely film")
print(found.label, found.scores)

whole_file = lavra.predict_file("reviews", "reviews.csv")
print(len(whole_file.rows), "rows;", whole_file.scores)
