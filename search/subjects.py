"""Texts that no one asked for: what a photo scores with any text at all, and what a query's score is judged against.

They stay as they are, whatever becomes of the tags: constants of `search.relevance` were fitted with them.
"""

from __future__ import annotations

# Every third of the tags that oko came with when this was written. All of them, or every sixth, judge as well.
SUBJECTS: tuple[str, ...] = tuple(
    """
person; boy; baby; old man; couple; group of people; mother; siblings; bride; runner; hiker; skier; skater on
ice; dancer; singer; clown; chef; police officer; construction worker; fisherman; teacher; cowboy; goalkeeper;
santa claus; long hair; curly hair; mohawk; moustache; smile; shirtless; dress; sweater; uniform; swimming
trunks; traditional costume; apron; bathrobe; hat; helmet; headband; high heels; goggles; earrings; wristwatch;
backpack; colourful clothes; dog; black dog; spotted dog; german shepherd; terrier; chihuahua; cat; pony; bull;
pig; goose; pigeon; seagull; crow; peacock; pelican; hummingbird; hamster; hedgehog; deer; panda; bat animal;
leopard; zebra; buffalo; llama; monkey; lizard; frog; goldfish; dolphin; jellyfish; lobster animal; coral; bee;
beetle; caterpillar; snail; zoo; tree; bare tree; log; flower; sunflower; lily; dandelion; potted plant; grass;
ivy; mushroom; vegetable garden; food; dinner; buffet; burger; pizza; soup; sushi; tacos; roast; seafood;
butter; pastry; cupcake; donut; candy; dessert; honey; banana; strawberry; peach; watermelon; coconut; tomato;
onion; broccoli; cabbage; spices; tea; champagne; juice; smoothie; city; road; crosswalk; square; driveway;
dock; dam; skyscraper; porch; cabin; castle; mosque; monastery; windmill; fountain; arch; fence; graffiti; door;
backyard; bench; university; theatre; stadium; field; golf course; skate park; water park; roller coaster; shop;
shopping mall; pub; office; warehouse; airport; bus stop; campsite; kitchen; children's room; indoors; crib;
shelf; lamp; blanket; toilet; oven; mountain; valley; cave; desert; beach; ocean; pond; rapids; water; forest;
crop field; sky; snow; frost; lightning; blue sky; wind; fire; sunrise; stars; shadow; city lights; fireworks;
spring; walking; sleeping; swinging; hugging; making a face; writing or drawing; drinking; shopping; digging;
fighting; splashing; dancing; using a phone; resting; playing in snow; playing cards; fishing; hiking;
handstand; trick; marching; rugby; tennis; volleyball; golf; ice skating; snowboarding; diving; windsurfing;
sailing; rafting; mountain biking; roller skating; bouldering; trampoline; marathon; workout; martial arts;
shooting; show jumping; dog race; motorsport; darts; jump rope; car; jeep; truck; police car; train; motor
scooter; snowmobile; tricycle; cart; tractor; boat; ferry; airplane; glider; caravan; engine; tennis racket;
golf club; snowboard; paddle; trophy; rope; leash; saddle; teddy bear; puzzle; inflatable; seesaw; shovel;
american flag; billboard; trash can; basket; camera; computer; keyboard; headphones; guitar; violin; accordion;
newspaper; scissors; globe; credit card; knife; pan; gun; shield; broom; painting picture; mannequin;
toothbrush; baby bottle; rusty; harness; robot; antenna; birthday party; halloween; thanksgiving; parade;
funeral; speech; vacation; reunion; costume party; document; letter; contract; ticket; book page; chart;
whiteboard; barcode; recipe; screenshot; computer screen; meme; close-up; black and white photo; motion blur;
oil painting; still life; night photo; view; collage
""".replace("\n", " ")
    .strip()
    .split("; ")
)

# Whole sentences on all kinds of things: where a model puts a text that is not a mere name.
SENTENCES: tuple[str, ...] = tuple(
    """
two men in blue shirts are standing beside a parked van and talking
a woman with long hair sits at a wooden table and reads a letter
a small child in a yellow coat jumps over a puddle on the pavement
an old couple walk slowly along the beach holding hands
a brown and white animal is running through tall grass towards the camera
several people are waiting in line in front of a shop on a rainy evening
a girl in a red hat is eating something while her friend laughs
a man wearing gloves is repairing a machine in his garage
three friends sit around a fire at night with mountains behind them
a crowd is watching a performance on a large stage with bright lights
a boy is climbing up a rope while another one waits below
a plate with a sandwich and some fruit is standing on a white cloth
a narrow street with old houses and flowers under the windows
a bird with a long beak stands on one leg in shallow water
the view from a hill over a valley with a river and scattered farms
a white boat is tied to a pier in the morning fog
a young woman takes a picture of herself in front of a fountain
the players in green jerseys are chasing the ball across the field
a cyclist with a backpack is riding down a steep road between trees
an empty room with a chair in the corner and light falling through the window
a man is holding a baby who looks up at him and smiles
a group of tourists are listening to a guide outside a big stone building
a dark animal is lying on the carpet next to its toy
a lady in a black dress is playing an instrument in a church
a worker in an orange vest is standing on a ladder against the wall
a family is having a picnic on a blanket in the park
a close view of a small insect sitting on a green leaf
people are crossing a busy road between cars and buses
a dog with its tongue out is carrying a stick out of the lake
a person in a thick jacket is walking up a snowy slope with poles
a screen showing some text lies next to a cup and a pair of glasses
a red vehicle is driving fast around a bend and throws up dust
""".strip().splitlines()
)
