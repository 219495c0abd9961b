"""A smaller student learns from a finetuned teacher; both are measured on the same held-out samples."""

import lavra

result = lavra.distill("reviews", "reviews.csv", task="classify", layers=1, epochs=5, name="reviews-small")

teacher, student = result.parameters
print(f"teacher: {result.teacher.value:.2f} with {teacher:,} parameters")
print(f"student: {result.student.value:.2f} with {student:,} parameters")
print(lavra.load("reviews-small").classify(["a lovely film", "an awful day"]))
