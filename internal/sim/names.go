package sim

// Names of a district that exists nowhere. They sound as names of southern
// Malawi do; where one is also a real village's, it is by chance.

const (
	districtName = "Nkhwali"
	townName     = "Nkhwali Boma"
)

// areaNames are traditional authorities, those of the north first.
var areaNames = []string{"TA Mkwapatira", "TA Nthondo", "STA Namikango", "TA Kalimanjira", "TA Chimpeni", "STA Masache"}

var villageNames = []string{
	"Chigwaja", "Chimwankhwazi", "Kamundi", "Nampinga", "Mbulukuta", "Chilambe", "Mtendere", "Namazoma", "Kapalamula", "Chisombezi", "Nkhulande", "Mpilisi",
	"Namputu", "Mulenga", "Chikuli", "Sitolo", "Makanani", "Nachuma", "Kumponda", "Chiwalo", "Mkanda", "Nsomba", "Likoswe", "Chitawira", "Bvumbwe Mtunda", "Mangulama",
	"Namalowe", "Kwitanda", "Mlombwa", "Chauluka", "Nankhundi", "Sadzi", "Msikita", "Mwalija", "Kanyenga", "Chidothe", "Matiti", "Nasawa", "Mbayani Kumunda", "Chipande",
	"Kachere", "Mposa", "Ntambalika", "Chilaweni", "Lunzi", "Namisu", "Mthawira", "Kadewere", "Chumani", "Gwembere", "Malunga", "Nkhwangwa", "Mchokera", "Nalikolo",
	"Mapanga", "Somba", "Kaliati", "Chimseu", "Thondwe Kumtunda", "Mwambula", "Nakoma", "Chinangwa", "Mpingwe", "Likwenu", "Mtambo", "Nambesa", "Chikhwaza", "Kunthembwe",
	"Mikundi", "Phulusa", "Nanjiri", "Dambo", "Mbalame", "Chigumula Pansi", "Khonjeni", "Mitawa", "Nangumi", "Kasupe", "Chadzunda Mtsinje", "Mlangali", "Nkolokoti Munda",
	"Mpemba Phiri", "Chiradzulo Pansi", "Nthulo", "Kainga", "Masanjala", "Namwera Kumanja", "Chilinga", "Mwanawanjovu", "Ntonda", "Bwaila Munda", "Kambwiri", "Chisawani",
	"Nkhata", "Maliro", "Phanda", "Tambala", "Mwangala", "Zuze", "Kalonga Mtsinje", "Nyambalo", "Chithumba", "Mwaye", "Nkando", "Njale", "Mombo", "Chamba", "Linjidzi",
	"Kuchombe", "Nasiyaya", "Mphonde", "Gulumba", "Mulanje Njira", "Ndalapa", "Matope", "Chileka Kumudzi", "Nzundu", "Mtenje", "Chikowa", "Kamwendo", "Msamala", "Njuli Kumadzi",
}

// landmarks are what stands beside a water point and gives it its name.
var landmarks = []string{"School", "Church", "Market", "Clinic", "Mosque", "Maize Mill", "Headman", "Crossroads", "Football Ground", "Mango Tree", "Dambo", "Estate"}

var installers = []string{"District Council", "Rural Water Programme", "Madzi Alipo", "Church Water Mission", "Constituency fund", "Drought relief 2002", "Community", "Sister Districts"}

var streets = []string{"Market Street", "Boma Road", "Hospital Road", "Station Road", "Mission Road", "Kachere Street", "Njanji Street", "Mtsinje Road"}

// Enumerators' remarks, and what they mean for the village.
var remarks = []string{
	"Committee meets every month and keeps a cash book.", "Children play on the handle; caretaker asked for a lock.", "Queue of about 20 buckets at 7 in the morning.",
	"Water tastes salty since the rains stopped.", "Spare parts can be had at the trading centre.", "Caretaker trained last year, has her own tools.", "Path to the pump is flooded after rain.",
	"People go to the river when the pump is down.", "Fence needs new poles.", "Women's group grows vegetables with the waste water.", "",
}
